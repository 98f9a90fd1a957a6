"""Spoil pictures of objects as weather, lenses and coding do: eight kinds, five severities. Pure.

The idea of a frozen set of corruptions in five severities, and of measuring a model on all of
them that saw none in training, is that of D. Hendrycks and T. Dietterich, "Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations", ICLR 2019 (arXiv 1903.12261); kinds,
strengths and code are our own.

Every strength is a share of the object's size, or drawn on a canvas on which the object is
`CANVAS` pixels large: severity 3 means the same for a sign of 20 and for one of 200 pixels.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from agent.contract.errors import BadContentError
from agent.vision.types import Box, Image

Kind = Literal[
    "blur", "motion", "fog", "night", "rain", "jpeg", "low-resolution", "occlusion"
]  # fmt: skip
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
SEVERITIES: Final = (1, 2, 3, 4, 5)
CANVAS: Final = 96
"""Rain and leaves are drawn as if the object were so many pixels large."""
SMALLEST: Final = 12
"""Objects of fewer pixels are treated as if they had so many."""

BLUR: Final = (0.015, 0.025, 0.035, 0.047, 0.06)
"""Sigma, as a share of the object's size."""
MOTION: Final = (0.07, 0.11, 0.15, 0.2, 0.25)
"""Length of the smear, as a share of the object's size."""
FOG: Final = (0.65, 0.5, 0.38, 0.28, 0.2)
"""Share of the contrast that is left; light from the air takes the rest's place."""
NIGHT: Final = (115.0, 92.0, 75.0, 62.0, 52.0)
"""Grey level of what is bright on the object; what is darker already stays as dark as it is."""
NIGHT_NOISE: Final = (2.5, 3.5, 5.0, 6.5, 8.0)
"""Sigma in grey levels."""
RAIN: Final = (0.2, 0.4, 0.6, 0.8, 1.0)
"""From a drizzle to a cloudburst."""
JPEG: Final = (40, 28, 20, 14, 10)
"""Quality, of a picture in which the object has `JPEG_SIDE` pixels."""
JPEG_SIDE: Final = 48
LOW_RESOLUTION: Final = (22, 18, 15, 12, 10)
"""Pixels that are left of the object's side."""
OCCLUSION: Final = (0.06, 0.11, 0.16, 0.22, 0.28)
"""Share of the object that is hidden."""

Rng = np.random.Generator
Float = npt.NDArray[np.float32]


def corrupt(image: Image, box: Box, kind: Kind, severity: int, rng: Rng) -> Image:
    """Return the picture spoilt; the given one is left as it is.

    Args:
        image: BGR uint8; a crop about the object, not a whole frame.
        box: The object inside it, not empty; its size, the root of its area, scales everything.
        kind: One of `KINDS`.
        severity: 1..5.
        rng: The only source of chance; see `rng_of`.
    """
    size = max(SMALLEST, math.sqrt(box.area))
    return _SPOIL[kind](image, box, size, severity - 1, rng)


def rng_of(seed: int, name: str, kind: Kind, severity: int) -> Rng:
    """Return the generator of one image's corruption: same arguments, same numbers."""
    digest = hashlib.sha256(f"{seed}/{kind}/{severity}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def parse_corruption(text: str) -> tuple[Kind, int]:
    """Read `KIND:SEVERITY`, as in `fog:3`.

    Raises:
        BadContentError: no such kind or severity.
    """
    kind, _, severity = text.partition(":")
    if kind not in KINDS or severity not in map(str, SEVERITIES):
        raise BadContentError(
            f"corruption {text[:40]!r}: need KIND:SEVERITY, as in fog:3, of {', '.join(KINDS)}"
            " and 1 to 5"
        )
    return kind, int(severity)


def _blur(image: Image, _box: Box, size: float, step: int, _rng: Rng) -> Image:
    return _image(cv2.GaussianBlur(image, (0, 0), BLUR[step] * size))


def _motion(image: Image, _box: Box, size: float, step: int, rng: Rng) -> Image:
    """Smear along a line, mostly level: it is the car or the pan that moves."""
    length, angle = MOTION[step] * size, rng.normal(0, math.radians(25))
    reach = math.ceil(length / 2) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    # Many points, each shared out among four pixels: smears of less than a pixel exist too.
    for t in np.linspace(-length / 2, length / 2, 8 * reach + 1):
        x, y = reach + t * math.cos(angle), reach + t * math.sin(angle)
        i, j, dx, dy = int(x), int(y), x % 1, y % 1
        kernel[j : j + 2, i : i + 2] += np.outer([1 - dy, dy], [1 - dx, dx])
    return _image(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def _fog(image: Image, box: Box, size: float, step: int, rng: Rng) -> Image:
    """Mix with bright grey air, unevenly; what little contrast is left meets the sensor's noise."""
    clear = FOG[step] * (1 + 0.15 * _clouds(image, size, rng))[..., None]
    air = _air(image, box, rng.uniform(190, 240)) * np.array([1.02, 1.0, 0.98], np.float32)
    veiled = image * clear + air * (1 - clear)
    return _clipped(veiled + np.float32(1.2) * _grain(image, size, rng))


def _night(image: Image, box: Box, size: float, step: int, rng: Rng) -> Image:
    """Take light away, let a lamp glare beside the object, and let the sensor's noise show."""
    dark = NIGHT[step] * rng.uniform(0.9, 1.1) / max(1.0, _bright(image, box))
    # Bending the curve loses the shadows first, as a sensor does; street lamps are warm.
    level = 255 * min(1.0, dark) * (np.arange(256) / 255) ** 1.2
    table = _clipped(level[:, None] * np.array([0.82, 0.96, 1.06]))[None]
    angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.45, 0.8) * size
    x = (box.x0 + box.x1) / 2 + away * math.cos(angle)
    y = (box.y0 + box.y1) / 2 + away * math.sin(angle)
    far = np.hypot(*np.meshgrid(np.arange(image.shape[1]) - x, np.arange(image.shape[0]) - y))
    glare = rng.uniform(30, 50) * (1 + step) * np.exp(-far / (0.15 * size))
    lit = cv2.LUT(image, table) + glare[..., None] * np.array([0.75, 0.9, 1.0])
    return _clipped(lit + np.float32(NIGHT_NOISE[step]) * _grain(image, size, rng))


def _rain(image: Image, box: Box, size: float, step: int, rng: Rng) -> Image:
    """Grey the air, soften, streak, and hang drops on the glass that bend what is behind them."""
    strength = RAIN[step]
    soft = _image(cv2.GaussianBlur(image, (0, 0), max(0.2, 0.018 * strength * size)))
    clear = 1 - 0.5 * strength
    spoilt = _clipped(
        soft * np.float32(0.9 * clear) + np.float32(_air(image, box, 150) * (1 - clear))
    )
    width, height = _canvas(image, size)
    streaks = np.zeros((height, width), np.uint8)
    lean = rng.uniform(-0.3, 0.3)
    for _ in range(rng.poisson(strength * width * height / 250)):
        x, y = rng.uniform(0, width), rng.uniform(-0.2, 1) * height
        length = rng.uniform(0.12, 0.35) * CANVAS
        end = (round(x + lean * length), round(y + length))
        cv2.line(streaks, (round(x), round(y)), end, float(rng.uniform(25, 95)), 1, cv2.LINE_AA)
    spoilt = _clipped(spoilt + np.float32(strength**0.5) * _fitted(streaks, image)[..., None])
    drops = np.zeros((height, width), np.uint8)
    for _ in range(rng.poisson(strength * 4 * width * height / CANVAS**2)):
        at = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        across = rng.uniform(0.03, 0.09) * CANVAS
        cv2.ellipse(drops, at, (round(across), round(1.3 * across)), 0, 0, 360, 255, -1)
    # A drop shows the scene upside down and out of focus, a little brighter.
    behind = cv2.GaussianBlur(spoilt[::-1], (0, 0), max(0.3, 0.1 * size)) * np.float32(1.15)
    soft_drops = cv2.GaussianBlur(drops, (0, 0), 1.2)
    cover = (_fitted(_image(soft_drops), image) / np.float32(255))[..., None]
    return _clipped(spoilt * (1 - cover) + behind * cover)


def _jpeg(image: Image, _box: Box, size: float, step: int, _rng: Rng) -> Image:
    small = _resized(image, JPEG_SIDE / size)
    coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG[step]])[1]
    return _resized_to(_image(cv2.imdecode(coded, cv2.IMREAD_COLOR)), image)


def _low_resolution(image: Image, _box: Box, size: float, step: int, _rng: Rng) -> Image:
    """Sample down and up again; an object that is as small already stays as it is."""
    share = LOW_RESOLUTION[step] / size
    return _resized_to(_resized(image, share), image) if share < 1 else image.copy()


def _occlusion(image: Image, box: Box, size: float, step: int, rng: Rng) -> Image:
    """Hide part of the object behind leaves that hang in from a side, or behind a pole."""
    scale = CANVAS / size
    width, height = _canvas(image, size)
    inside = (
        slice(int(box.y0 * scale), math.ceil(box.y1 * scale)),
        slice(int(box.x0 * scale), math.ceil(box.x1 * scale)),
    )
    hidden = np.zeros((height, width), np.uint8)
    paint = np.zeros((height, width, 3), np.uint8)
    if rng.random() < 0.3:
        _draw_pole(hidden, paint, inside, OCCLUSION[step], rng)
    else:
        _draw_leaves(hidden, paint, inside, OCCLUSION[step], rng)
    cover = (_fitted(hidden, image) / np.float32(255))[..., None]
    light = min(1.3, max(0.15, float(image.mean()) / 110))
    return _clipped(image * (1 - cover) + _fitted(paint, image) * np.float32(light) * cover)


def _draw_pole(
    hidden: Image, paint: Image, inside: tuple[slice, slice], share: float, rng: Rng
) -> None:
    columns = inside[1]
    x = round(columns.start + rng.uniform(0.15, 0.85) * (columns.stop - columns.start))
    lean, thick = round(rng.normal(0, 0.08 * CANVAS)), max(1, round(share * CANVAS))
    # Some of it may stand outside the object: less is hidden then, never more.
    cv2.line(hidden, (x - lean, 0), (x + lean, len(hidden)), 255, thick, cv2.LINE_AA)
    paint[:] = rng.uniform(40, 150)
    paint[:, : max(1, x - thick // 4)] //= 2


def _draw_leaves(
    hidden: Image, paint: Image, inside: tuple[slice, slice], share: float, rng: Rng
) -> None:
    rows, columns = inside
    middle = np.array([columns.start + columns.stop, rows.start + rows.stop]) / 2
    angle = rng.uniform(0, 2 * math.pi)
    side = middle + 0.6 * CANVAS * np.array([math.cos(angle), math.sin(angle)])
    paint[:] = (30, 60, 45)
    for n in range(400):
        if hidden[inside].mean() >= 255 * share:
            break
        # The twigs reach in further and further.
        spread = (0.12 + 0.0012 * n) * CANVAS
        x, y = side + (middle - side) * min(1.0, n / 250) + rng.normal(0, spread, 2)
        axes = (round(rng.uniform(0.06, 0.11) * CANVAS), round(rng.uniform(0.025, 0.05) * CANVAS))
        leaf = (round(x), round(y)), axes, rng.uniform(0, 360), 0, 360
        colour = rng.uniform(0.5, 1.4) * np.array([35, 95, 70]) + rng.uniform(0, 25, 3)
        cv2.ellipse(paint, *leaf, tuple(float(c) for c in colour), -1, cv2.LINE_AA)
        cv2.ellipse(hidden, *leaf, 255, -1, cv2.LINE_AA)


def _bright(image: Image, box: Box) -> float:
    """Return the grey level of what is bright on the object."""
    return float(np.percentile(image[box.y0 : box.y1, box.x0 : box.x1], 95))


def _air(image: Image, box: Box, grey: float) -> float:
    """Return the grey level of lit air: in a picture exposed for something bright it is less."""
    return (grey + _bright(image, box)) / 2


def _canvas(image: Image, size: float) -> tuple[int, int]:
    """Return width and height of the image, were the object `CANVAS` pixels large."""
    scale = CANVAS / size
    return max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))


def _clouds(image: Image, size: float, rng: Rng) -> Float:
    """Return a slow field over the image, about -1..1, shape (height, width)."""
    few = [max(2, round(2 * side / size) + 1) for side in image.shape[:2]]
    field = rng.uniform(-1, 1, few).astype(np.float32)
    return _floats(cv2.resize(field, image.shape[1::-1], interpolation=cv2.INTER_CUBIC))


def _grain(image: Image, size: float, rng: Rng) -> Float:
    """Return colour noise of sigma 1 whose grains are 1/48 of the object, at least a pixel."""
    share = min(1.0, 48 / size)
    shape = [max(1, round(side * share)) for side in image.shape[:2]]
    grain = rng.standard_normal((*shape, 3), np.float32)
    return _floats(cv2.resize(grain, image.shape[1::-1], interpolation=cv2.INTER_NEAREST))


def _fitted(drawn: Image, image: Image) -> Float:
    """Return what was drawn on the canvas at the image's size."""
    return _floats(_resized_to(drawn, image))


def _resized(image: Image, share: float) -> Image:
    size = (max(1, round(image.shape[1] * share)), max(1, round(image.shape[0] * share)))
    way = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    return _image(cv2.resize(image, size, interpolation=way))


def _resized_to(small: Image, image: Image) -> Image:
    way = cv2.INTER_AREA if small.shape[1] > image.shape[1] else cv2.INTER_LINEAR
    return _image(cv2.resize(small, image.shape[1::-1], interpolation=way))


def _clipped(values: npt.NDArray[np.floating]) -> Image:
    return _image(np.clip(np.rint(values), 0, 255))


def _image(array: object) -> Image:
    image: Image = np.asarray(array, np.uint8)
    return image


def _floats(array: object) -> Float:
    return np.asarray(array, np.float32)


_SPOIL: Final[dict[Kind, Callable[[Image, Box, float, int, Rng], Image]]] = {
    "blur": _blur,
    "motion": _motion,
    "fog": _fog,
    "night": _night,
    "rain": _rain,
    "jpeg": _jpeg,
    "low-resolution": _low_resolution,
    "occlusion": _occlusion,
}
