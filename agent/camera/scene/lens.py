"""What happens to the finished picture on its way to the sensor. Pure."""

import math
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.camera.scene.options import SceneOptions
from agent.camera.scene.plan import rng_of
from agent.camera.scene.weather import Weather
from agent.vision.types import Image

_RAIN_SHEETS: Final = 4
_GRAIN: Final = 16
"""Sigma of the stored noise, grey levels."""


class Lens:
    """Glare, rain, blur and noise.

    Args:
        options: Size of the frames, and the seed.
    """

    def __init__(self, options: SceneOptions) -> None:
        self._options = options
        rng = rng_of(options.seed, "weather", 2_000_000)
        height, width = options.height, options.width
        self._sheets = [_rain_sheet(width, height, rng) for _ in range(_RAIN_SHEETS)]
        shape = (height + 64, width + 64, 3)
        self._grain = rng.standard_normal(shape, np.float32) * _GRAIN
        self._grain_of: tuple[float, Image, Image] | None = None
        self._sun = (float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.12, 0.32)))

    def apply(self, frame: Image, weather: Weather, n: int) -> Image:
        """Return the frame as the camera gives it; `frame` may be overwritten."""
        if weather.glare > 0.02:
            cv2.add(frame, self._glow(weather.glare), dst=frame)
        if weather.rain > 0.02:
            self._rain(frame, weather.rain, n)
        frame = _blurred(frame, weather)
        if weather.noise >= 0.5:
            self._noise(frame, weather.noise, n)
        return frame

    def veil(self, weather: Weather, x: float, y: float) -> float:
        """Return the share of contrast that the sun leaves at a pixel, 0..1."""
        width = self._options.width
        far = math.hypot(x / width - self._sun[0], y / width - self._sun[1])
        return 1 - min(1.0, float(_sunlight(np.array([far]))[0]) * weather.glare / 255)

    def _glow(self, strength: float) -> Image:
        width, height = self._options.width, self._options.height
        x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, height / width, 30))
        glow = strength * _sunlight(np.hypot(x - self._sun[0], y - self._sun[1]))
        small = np.clip(glow[..., None] * np.array([0.8, 0.93, 1.0]), 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))

    def _rain(self, frame: Image, strength: float, n: int) -> None:
        sheet = self._sheets[n % _RAIN_SHEETS]
        height = frame.shape[0]
        down = (n * 37) % height
        rolled = np.concatenate([sheet[height - down :], sheet[: height - down]])
        cv2.addWeighted(frame, 1.0, rolled, min(1.0, strength), 0, dst=frame)

    def _noise(self, frame: Image, sigma: float, n: int) -> None:
        rounded = round(sigma * 2) / 2
        if self._grain_of is None or self._grain_of[0] != rounded:
            grain = self._grain * (rounded / _GRAIN)
            up = np.clip(grain, 0, 255).astype(np.uint8)
            down = np.clip(-grain, 0, 255).astype(np.uint8)
            self._grain_of = (rounded, up, down)
        _, up, down = self._grain_of
        height, width = frame.shape[:2]
        y, x = (n * 29) % 64, (n * 47) % 64
        cv2.add(frame, up[y : y + height, x : x + width], dst=frame)
        cv2.subtract(frame, down[y : y + height, x : x + width], dst=frame)


def _sunlight(far: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return grey levels that the sun adds, by distance from it in widths of the frame."""
    return np.asarray(230 * np.exp(-((far / 0.1) ** 2)) + 110 * np.exp(-far / 0.22) + 14)


def _rain_sheet(width: int, height: int, rng: np.random.Generator) -> Image:
    sheet = np.zeros((height, width), np.uint8)
    for _ in range(width * height // 2200):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        length = rng.uniform(0.02, 0.06) * height
        end = (round(x + 0.12 * length), round(y + length))
        cv2.line(sheet, (round(x), round(y)), end, float(rng.integers(18, 60)), 1, cv2.LINE_AA)
    return np.asarray(cv2.merge([sheet, sheet, sheet]), np.uint8)


def _blurred(frame: Image, weather: Weather) -> Image:
    width = frame.shape[1]
    length = round(weather.smear * width)
    if length >= 2:
        frame = np.asarray(cv2.blur(frame, (length, 1 + length // 4)), np.uint8)
    sigma = weather.defocus * width
    if sigma >= 0.3:
        frame = np.asarray(cv2.GaussianBlur(frame, (0, 0), sigma), np.uint8)
    return frame
