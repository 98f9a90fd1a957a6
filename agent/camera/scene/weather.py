"""Light and weather, and what they do to colours. Pure."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from agent.camera.scene.options import Condition, SceneOptions
from agent.camera.scene.plan import rng_of
from agent.vision.types import Image

STRETCH_S: Final = 8.0
"""Light and weather change after so many seconds."""
_CHANGE: Final = 0.15
"""Share of a stretch in which it turns into the next."""
_HEADLIGHT_M: Final = 32.0
"""From here on the camera's own lights are half as bright."""


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to light on its way; all of it fades linearly into the next weather."""

    blue: float = 1.0
    """Factors on the colours of everything."""
    green: float = 1.0
    red: float = 1.0
    air: float = 205.0
    """Grey level of the air, where it hides things."""
    fog: float = 0.0
    """Share of light the air takes, per metre."""
    headlight: float = 0.0
    """Extra light on near things, more on what reflects."""
    glare: float = 0.0
    """Sun in the lens, 0..1."""
    rain: float = 0.0
    """0..1."""
    smear: float = 0.0
    """Length of motion blur in shares of the frame's width."""
    defocus: float = 0.0
    """Sigma in shares of the frame's width."""
    noise: float = 1.5
    """Sigma in grey levels."""


_USUAL: Final[dict[Condition, Weather]] = {
    "day": Weather(fog=0.001),
    "dusk": Weather(0.36, 0.37, 0.45, 70, 0.002, 0.12, noise=4),
    "night": Weather(0.1, 0.09, 0.09, 12, 0.003, 0.75, noise=5),
    "fog": Weather(0.85, 0.85, 0.84, 196, 0.034, noise=2),
    "rain": Weather(0.62, 0.6, 0.58, 150, 0.012, 0.05, rain=1.0, defocus=0.0009, noise=3),
    "glare": Weather(0.72, 0.75, 0.8, 225, 0.004, glare=1.0, noise=2),
    "blur": Weather(0.95, 0.96, 0.98, fog=0.002, smear=0.009, defocus=0.0013),
}


def condition_of(options: SceneOptions, n: int) -> Condition:
    """Return what light and weather frame `n` has (at a change: what it comes from)."""
    return _stretch(options, int(n / options.fps / STRETCH_S))[0]


def weather_at(options: SceneOptions, n: int) -> Weather:
    """Return light and weather of frame `n`."""
    position = n / options.fps / STRETCH_S
    index = int(position)
    _, now = _stretch(options, index)
    late = (position - index - (1 - _CHANGE)) / _CHANGE
    if late <= 0:
        return now
    _, then = _stretch(options, index + 1)
    return Weather(
        **{
            f.name: (1 - late) * getattr(now, f.name) + late * getattr(then, f.name)
            for f in fields(Weather)
        }
    )


@lru_cache(maxsize=64)
def _stretch(options: SceneOptions, index: int) -> tuple[Condition, Weather]:
    """Deal conditions like cards; the very first is the first that was asked for."""
    kinds = options.conditions
    rng = rng_of(options.seed, "weather", index // len(kinds))
    order = [int(i) for i in rng.permutation(len(kinds))]
    if index < len(kinds):
        order.remove(0)
        order.insert(0, 0)
    kind = kinds[order[index % len(kinds)]]
    own = rng_of(options.seed, "weather", 1_000_000 + index)
    usual = _USUAL[kind]
    changes = {
        f.name: getattr(usual, f.name) * own.uniform(0.8, 1.2)
        for f in fields(Weather)
        if f.name in ("fog", "glare", "rain", "smear", "defocus", "noise", "headlight")
    }
    light = own.uniform(0.88, 1.12)
    tint = own.uniform(0.96, 1.04)
    changes |= {"blue": usual.blue * light * tint, "green": usual.green * light}
    changes |= {"red": usual.red * light / tint}
    return kind, Weather(**{**{f.name: getattr(usual, f.name) for f in fields(Weather)}, **changes})


def clearness(weather: Weather, metres: float) -> float:
    """Return the share of a thing's contrast that the air leaves, 0..1."""
    return float(np.exp(-weather.fog * metres))


def colour_table(weather: Weather, metres: float, reflects: float, fade: float) -> Image:
    """Tabulate what light and air make of colours at a distance.

    Args:
        weather: Of the frame.
        metres: How far away.
        reflects: Share of the headlight that comes back: 1 for signs, little for the rest.
        fade: Factor on brightness of this thing alone.

    Returns:
        A table for `cv2.LUT`, uint8, shape (1, 256, 3).
    """
    lit = weather.headlight * reflects * _HEADLIGHT_M**2 / (_HEADLIGHT_M**2 + metres**2)
    gains = fade * (np.array([weather.blue, weather.green, weather.red]) + lit)
    clear = clearness(weather, metres)
    level = np.arange(256)[:, None] * gains * clear + weather.air * (1 - clear)
    return np.clip(level, 0, 255).astype(np.uint8)[None]


def light_ground(frame: Image, weather: Weather, horizon: float, depth: float) -> None:
    """Put light and air on the empty landscape, in place.

    Args:
        frame: Sky and ground.
        weather: Of the frame.
        horizon: Row of the horizon, pixels.
        depth: Metres to the ground that is seen one row below the horizon.
    """
    height, width = frame.shape[:2]
    rows, columns = 48, 32
    y = (np.arange(rows) + 0.5) * height / rows - horizon
    metres = np.where(y > 0, depth / np.maximum(y, 0.5), 400.0).clip(0, 400)
    # The sky is far, yet fog lies low: it hides the treeline more than the zenith.
    metres = np.where(y < 0, 60 + 200 * np.exp(y / (0.12 * height)), metres)
    clear = np.exp(-weather.fog * metres)[:, None]
    side = np.abs(np.arange(columns) / (columns - 1) - 0.5)[None]
    pool = np.exp(-((side * 3.4) ** 2)) * np.where(y > 0, np.exp(-metres / 18), 0)[:, None]
    light = (weather.headlight * 0.8 * pool)[..., None]
    gains = (np.array([weather.blue, weather.green, weather.red]) + light) * clear[..., None]
    added = np.broadcast_to(weather.air * (1 - clear), (rows, columns))
    gain_map = np.clip(gains * 128, 0, 255).astype(np.uint8)
    cv2.multiply(frame, cv2.resize(gain_map, (width, height)), dst=frame, scale=1 / 128)
    if added.max() >= 1:
        grey = cv2.resize(np.ascontiguousarray(added).astype(np.uint8), (width, height))
        cv2.add(frame, cv2.merge([grey, grey, grey]), dst=frame)
