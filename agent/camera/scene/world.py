"""A seeded drive past traffic signs: frame `n` and its truth are functions of seed and n. Pure."""

from dataclasses import dataclass
from typing import Final

from agent.camera.scene.camera import Pose, paste, pose_at
from agent.camera.scene.landscape import Landscape
from agent.camera.scene.lens import Lens
from agent.camera.scene.options import Condition, SceneOptions
from agent.camera.scene.plan import SPEED, rng_of, things_near
from agent.camera.scene.sights import (
    SHINE,
    Sight,
    leaf_share,
    paint_post,
    picture,
    place_of,
    uncovered,
)
from agent.camera.scene.weather import (
    Weather,
    clearness,
    colour_table,
    condition_of,
    light_ground,
    weather_at,
)
from agent.vision.types import Box, Image

MIN_PIXELS: Final = 10
"""Smaller objects are drawn, but not in the truth."""
MIN_INSIDE: Final = 0.3
"""Objects of which less is inside the frame are not in the truth."""
MIN_VISIBLE: Final = 0.1
"""Nor are those of which less can be seen."""
MATCH_IOU: Final = 0.3
"""A cut shows an object when their boxes overlap so much."""
_TOLD: Final = ("post", "parked", "oncoming", "billboard")


@dataclass(frozen=True, slots=True)
class TruthObject:
    """One object in one frame."""

    track: int
    """The same object has the same number in all frames."""
    label: str | None
    """Class of the traffic-signs profile; None: something else (foreign sign, car, billboard)."""
    box: Box
    """Tight around it, cut to the frame."""
    visibility: float
    """Share that can be seen, 0..1: inside the frame, not covered, times what fog and sun leave."""
    size: float
    """Its larger side in pixels, as if nothing were cut off."""


class Scene:
    """One drive. Frames may be asked for in any order.

    Args:
        options: Seed, size and what happens.
    """

    def __init__(self, options: SceneOptions) -> None:
        self.options = options
        rng = rng_of(options.seed, "block", 4_000_000)
        self._phase = float(rng.uniform(0, 6.28))
        self._land = Landscape(options.width, options.height, rng)
        self._lens = Lens(options)

    def condition(self, n: int) -> Condition:
        """Return light and weather of frame `n` by name."""
        return condition_of(self.options, n)

    def truth(self, n: int) -> tuple[TruthObject, ...]:
        """Return all objects of frame `n` that can be told, nearest first."""
        weather = weather_at(self.options, n)
        sights = self._sights(n)
        told = (
            self._told(sight, sights[i + 1 :], weather)
            for i, sight in enumerate(sights)
            if sight.thing.role in _TOLD
        )
        return tuple(item for item in told if item)[::-1]

    def render(self, n: int, signs: bool = True) -> Image:
        """Return frame `n`, BGR uint8, shape (height, width, 3).

        Args:
            n: From 0; frames behind `options.frames` exist too.
            signs: False leaves out all signs (and their branches), to see where they were.
        """
        weather = weather_at(self.options, n)
        pose = self._pose(n)
        frame = self._land.draw(pose, SPEED * n / self.options.fps)
        light_ground(frame, weather, pose.horizon, pose.focal * pose.eye)
        for sight in self._sights(n):
            if sight.thing.role == "post":
                paint_post(frame, sight, pose, weather, signs)
            else:
                shine = SHINE.get(sight.thing.role, 0.25)
                table = colour_table(weather, sight.metres, shine, sight.thing.fade)
                paste(frame, picture(sight.thing), sight.place, table, soft=False)
        return self._lens.apply(frame, weather, n)

    def label_at(self, n: int, box: Box) -> str | None:
        """Return what a cut of frame `n` shows; None: nothing of the profile.

        It is the label of the object whose box overlaps best, from `MATCH_IOU` on.
        """
        best = max(self.truth(n), key=lambda item: item.box.overlap(box), default=None)
        if best is None or best.box.overlap(box) < MATCH_IOU:
            return None
        return best.label

    def _pose(self, n: int) -> Pose:
        options = self.options
        return pose_at(options.width, options.height, n / options.fps, self._phase)

    def _sights(self, n: int) -> list[Sight]:
        """Return what may show in frame `n`, farthest first."""
        seconds = n / self.options.fps
        travelled = SPEED * seconds
        pose = self._pose(n)
        sights = []
        for thing in things_near(self.options, travelled, seconds):
            metres = thing.along - travelled
            place = place_of(thing, metres, pose)
            left, _, right, _ = place.extent
            if right > 0 and left < self.options.width and place.height >= 1.5:
                sights.append(Sight(thing, metres, place))
        return sights

    def _told(self, sight: Sight, nearer: list[Sight], weather: Weather) -> TruthObject | None:
        left, top, right, bottom = sight.place.extent
        width, height = self.options.width, self.options.height
        box = Box(
            max(0, round(left)), max(0, round(top)),
            min(width, round(right)), min(height, round(bottom)),
        )  # fmt: skip
        size = max(sight.place.width, sight.place.height)
        inside = box.area / ((right - left) * (bottom - top)) if box.width > 0 else 0.0
        if size < MIN_PIXELS or inside < MIN_INSIDE:
            return None
        leaves = sight.thing.leaves
        seen = min(1.0, inside) * uncovered(sight.place, nearer)
        seen *= (1 - leaf_share(leaves)) * clearness(weather, sight.metres)
        seen *= self._lens.veil(weather, sight.place.x, sight.place.y)
        if seen < MIN_VISIBLE:
            return None
        name = sight.thing.name
        is_known = sight.thing.role == "post" and not name.startswith("?")
        return TruthObject(sight.thing.track, name if is_known else None, box, seen, size)
