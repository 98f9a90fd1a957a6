"""The empty land: sky, far trees, fields and the road. Pure."""

import math
from typing import Final

import cv2
import numpy as np

from agent.camera.scene.camera import Pose
from agent.vision.types import FloatArray, Image

_PER_METRE: Final = 24
"""Pixels of the ground's texture per metre."""
_WIDE: Final = 22.0
"""The texture reaches so many metres to each side."""
_DEEP: Final = 60.0
"""Metres ahead that are drawn with texture."""
_REPEAT: Final = 12.0
"""Metres after which the road repeats itself: one line mark and one gap."""
_GRASS: Final = (62, 112, 92)
_ROAD: Final = (98, 96, 94)
ROAD_LEFT: Final = -5.3
ROAD_RIGHT: Final = 1.75
_SPARE: Final = 0.1
"""The sky is wider than the frame by this share on each side."""


class Landscape:
    """What is there before anything stands on it.

    Args:
        width: Of the frames, pixels.
        height: The same.
        rng: Shapes of clouds, hills and fields.
    """

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self._width = width
        self._height = height
        self._sky = _sky(width, height, rng)
        self._ground = _ground(rng)

    def draw(self, pose: Pose, travelled: float) -> Image:
        """Return the empty scene in plain daylight, as seen from a place on the road."""
        width, height = self._width, self._height
        frame = np.empty((height, width, 3), np.uint8)
        horizon = round(pose.horizon)
        spare = self._sky.shape[1] - width
        x = min(spare, max(0, round(spare / 2 - (pose.middle - width / 2))))
        rise = self._sky.shape[0] - horizon
        frame[:horizon] = self._sky[rise:, x : x + width]
        start = math.ceil(pose.horizon + pose.focal * pose.eye / _DEEP)
        frame[horizon:start] = _GRASS
        road = [pose.project(a, 0.0, z) for a, z in _far_road()]
        cv2.fillPoly(frame, [np.rint(road).astype(np.int32)], _ROAD)
        self._lay_ground(frame, pose, travelled, start)
        return frame

    def _lay_ground(self, frame: Image, pose: Pose, travelled: float, start: int) -> None:
        # Each pixel below the horizon sees one point of the plane: a homography, which maps
        # frame (x, y) to texture (across, along).
        eye, focal, ahead = pose.eye, pose.focal, travelled % _REPEAT
        plane = np.array(
            [
                [eye, _WIDE, -eye * pose.middle - _WIDE * pose.horizon],
                [0.0, ahead, focal * eye - ahead * pose.horizon],
                [0.0, 1.0 / _PER_METRE, -pose.horizon / _PER_METRE],
            ]
        )
        below = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, start], [0.0, 0.0, 1.0]])
        frame[start:] = cv2.warpPerspective(
            self._ground,
            plane @ below,
            (self._width, self._height - start),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def clouds(height: int, width: int, rng: np.random.Generator) -> FloatArray:
    """Return soft noise, 0..1, of coarse and fine parts."""
    total = np.zeros((height, width), np.float32)
    for cells, weight in ((4, 0.5), (9, 0.28), (21, 0.14), (45, 0.08)):
        few = rng.random((max(2, cells * height // width), cells), np.float32)
        total += weight * cv2.resize(few, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(total, 0, 1)


def _far_road() -> tuple[tuple[float, float], ...]:
    return (ROAD_LEFT, _DEEP), (ROAD_LEFT, 900.0), (ROAD_RIGHT, 900.0), (ROAD_RIGHT, _DEEP)


def _sky(width: int, height: int, rng: np.random.Generator) -> Image:
    """Return sky down to the horizon, with hills and far trees at its foot."""
    wide, high = round(width * (1 + 2 * _SPARE)), round(0.62 * height)
    up = np.linspace(1, 0, high, dtype=np.float32)[:, None, None]
    blue = np.array([232, 200, 160], np.float32) * (1 - up) + np.array([214, 150, 84]) * up
    cover = clouds(high, wide, rng)[..., None]
    share = np.clip((cover - rng.uniform(0.38, 0.52)) * 3.2, 0, 0.92)
    sky = (blue * (1 - share) + 238 * share).astype(np.uint8)
    far = np.arange(wide)
    for colour, rise, rough in (((150, 138, 112), 0.075, 5), ((88, 100, 74), 0.042, 26)):
        few = rng.random((1, rough), np.float32)
        ridge = cv2.resize(few, (wide, 1), interpolation=cv2.INTER_CUBIC)[0]
        ridge = high - height * rise * (0.35 + 0.65 * ridge)
        if rough > 10:
            ridge += rng.uniform(-1.5, 1.5, wide)
        edge = np.stack([far, ridge], axis=1)
        shape = np.concatenate([edge, [[wide, high], [0, high]]])
        cv2.fillPoly(sky, [np.rint(shape).astype(np.int32)], colour)
    return np.asarray(sky, np.uint8)


def _ground(rng: np.random.Generator) -> Image:
    """Return the plane from above: row 0 is nearest, it repeats after `_REPEAT` metres."""
    wide, period = round(2 * _WIDE * _PER_METRE), round(_REPEAT * _PER_METRE)
    light = _seamless(period, wide, rng)
    plane = np.array(_GRASS, np.float32) * (0.78 + 0.44 * light)
    plane[..., 2] += 30 * (_seamless(period, wide, rng)[..., 0] - 0.5)

    def columns(left: float, right: float) -> slice:
        return slice(round((left + _WIDE) * _PER_METRE), round((right + _WIDE) * _PER_METRE))

    def paint(place: slice, colour: tuple[int, int, int], grain: float) -> None:
        rows = light[:, place]
        plane[:, place] = np.array(colour, np.float32) * (1 - grain / 2 + grain * rows)

    paint(columns(ROAD_LEFT - 0.9, ROAD_LEFT), (120, 134, 142), 0.3)
    paint(columns(ROAD_RIGHT, ROAD_RIGHT + 0.9), (120, 134, 142), 0.3)
    paint(columns(ROAD_LEFT, ROAD_RIGHT), _ROAD, 0.16)
    for edge in (ROAD_LEFT + 0.15, ROAD_RIGHT - 0.27):
        plane[:, columns(edge, edge + 0.12)] = (205, 208, 208)
    middle = (ROAD_LEFT + ROAD_RIGHT) / 2
    plane[: period // 2, columns(middle - 0.07, middle + 0.07)] = (215, 218, 218)
    once = np.clip(plane, 0, 255).astype(np.uint8)
    return np.concatenate([once] * (math.ceil(_DEEP / _REPEAT) + 2))


def _seamless(period: int, wide: int, rng: np.random.Generator) -> FloatArray:
    """Return noise 0..1 whose last row continues in its first, shape (period, wide, 1)."""
    noise = clouds(2 * period, wide, rng)
    fade = np.linspace(0, 1, period, dtype=np.float32)[:, None]
    fine = rng.random((period, wide), np.float32) * 0.3
    mixed = noise[:period] * fade + noise[period:] * (1 - fade)
    return np.asarray((mixed * 0.7 + fine)[..., None], np.float32)
