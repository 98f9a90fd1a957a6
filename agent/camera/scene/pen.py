"""Vector drawing with smooth edges. Pure.

Everything is given in a square of 100 x 100 units, y down, drawn at four times the size that is
wanted and averaged down: that smooths edges better than OpenCV's own line smoothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from agent.vision.types import Image

Colour = tuple[int, int, int]
"""Blue, green, red, each 0..255."""
Point = tuple[float, float]
Mask = npt.NDArray[np.uint8]

UNITS: Final = 100.0
_FINE: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A cut-out picture."""

    bgr: Image = field(repr=False)
    """Shape (height, width, 3)."""
    alpha: Mask = field(repr=False)
    """Shape (height, width): 255 where the sprite covers what is behind it."""


class Pen:
    """Paints on a transparent square.

    Args:
        side: Width and height of the finished sprite in pixels, before its empty border is cut.
    """

    def __init__(self, side: int) -> None:
        self._scale = side * _FINE / UNITS
        self._bgr = np.zeros((side * _FINE, side * _FINE, 3), np.uint8)
        self._alpha = np.zeros((side * _FINE, side * _FINE), np.uint8)

    def polygon(self, points: Sequence[Point], colour: Colour, radius: float = 0.0) -> None:
        """Fill a polygon; `radius` lets it grow on all sides, with round corners."""
        corners = self._pixels(points)
        width = round(2 * radius * self._scale)
        for canvas, value in self._layers(colour):
            cv2.fillPoly(canvas, [corners], value)
            if width:
                cv2.polylines(canvas, [corners], isClosed=True, color=value, thickness=width)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        """Fill an upright rectangle."""
        self.polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)

    def circle(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Fill a circle."""
        self.polygon(arc(x, y, radius, radius, 0, 360), colour)

    def stroke(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line of some width with round joints and square ends."""
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            dx, dy = (y1 - y0) / length * width / 2, (x0 - x1) / length * width / 2
            self.polygon(
                ((x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)),
                colour,
            )
        for x, y in points[1:-1]:
            self.circle(x, y, width / 2, colour)

    def head(self, tip: Point, degrees: float, length: float, width: float, colour: Colour) -> None:
        """Fill an arrow head; 0 degrees points right, 90 down."""
        along = (math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
        base = (tip[0] - along[0] * length, tip[1] - along[1] * length)
        side = (-along[1] * width / 2, along[0] * width / 2)
        self.polygon(
            (tip, (base[0] + side[0], base[1] + side[1]), (base[0] - side[0], base[1] - side[1])),
            colour,
        )

    def finish(self) -> Sprite:
        """Return what was painted, its empty border cut off."""
        size = (self._bgr.shape[1] // _FINE, self._bgr.shape[0] // _FINE)
        alpha = cv2.resize(self._alpha, size, interpolation=cv2.INTER_AREA)
        # Colours are averaged over painted points only, or edges would turn dark.
        covered = np.maximum(alpha.astype(np.float32), 1.0)[..., None] / 255
        sums = cv2.resize(self._bgr, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        bgr = np.clip(sums / covered, 0, 255).astype(np.uint8)
        x, y, width, height = cv2.boundingRect((alpha > 127).astype(np.uint8))
        cut = np.s_[y : y + height, x : x + width]
        return Sprite(bgr[cut].copy(), np.asarray(alpha[cut], np.uint8).copy())

    def _layers(self, colour: Colour) -> tuple[tuple[Image, Colour], tuple[Mask, Colour]]:
        return (self._bgr, colour), (self._alpha, (255, 255, 255))

    def _pixels(self, points: Sequence[Point]) -> npt.NDArray[np.int32]:
        return np.rint(np.asarray(points, np.float64) * self._scale).astype(np.int32)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> tuple[Point, ...]:
    """Return points on an ellipse from one angle to another; 0 degrees is right, 90 down."""
    steps = max(2, math.ceil(abs(end - start) / 7.5))
    angles = (math.radians(start + (end - start) * i / steps) for i in range(steps + 1))
    return tuple((x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles)


def turned(points: Sequence[Point], centre: Point, degrees: float) -> tuple[Point, ...]:
    """Return points turned clockwise (as seen) about a centre."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return tuple(
        (
            centre[0] + (x - centre[0]) * c - (y - centre[1]) * s,
            centre[1] + (x - centre[0]) * s + (y - centre[1]) * c,
        )
        for x, y in points
    )
