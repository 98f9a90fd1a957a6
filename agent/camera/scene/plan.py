"""What stands where along the road: a pure function of seed and place. Pure.

Metres: `along` the road from its start, `across` to the right of the camera's path, `up` from
the ground.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from agent.camera.scene.foreign import FOREIGN
from agent.camera.scene.options import SceneOptions
from agent.camera.scene.scenery import VARIANTS
from agent.camera.scene.signs import LABELS

SPEED: Final = 9.0
"""Of the camera, metres per second."""
REACH: Final = 95.0
"""Nothing farther ahead is drawn."""
_START: Final = 25.0
"""The first sign is so far ahead at least."""
_FOREIGN_SHARE: Final = 0.15
_TREE_EVERY: Final = 5.0
_HOUSE_EVERY: Final = 23.0
_PARKED_EVERY: Final = 40.0
_BILLBOARD_EVERY: Final = 75.0
_ONCOMING_EVERY: Final = 90.0
_ONCOMING_SPEED: Final = 11.0
_ROLES: Final = ("post", "tree", "house", "parked", "billboard", "oncoming", "block", "weather")


@dataclass(frozen=True, slots=True)
class Leaves:
    """A branch in front of a sign, in shares of the sign's size from its middle."""

    right: float
    down: float
    size: float
    number: int
    """Which drawing."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One upright object."""

    track: int
    """Unique in the scene."""
    role: str
    """`post` (a sign), `tree`, `house`, `parked`, `oncoming` or `billboard`."""
    name: str
    """Which drawing; of a sign its label or its name in `FOREIGN`."""
    along: float
    across: float
    up: float
    """Of its middle; 0: it stands on the ground."""
    size: float
    """Of its larger side."""
    tilt: float = 0.0
    """Degrees, clockwise."""
    yaw: float = 0.0
    """Degrees it is turned away."""
    fade: float = 1.0
    """Brightness of its paint."""
    plate: bool = False
    """A white plate hangs under it."""
    leaves: Leaves | None = None


def rng_of(seed: int, role: str, index: int) -> np.random.Generator:
    """Return the chance of one thing: the same in every process."""
    return np.random.default_rng((seed, _ROLES.index(role), index))


def things_near(options: SceneOptions, travelled: float, seconds: float) -> list[Thing]:
    """Return what lies between camera and `REACH`, farthest first."""
    seed = options.seed
    found: list[Thing] = []
    post_every = SPEED * 60 / options.signs_per_minute
    found += [_post(options, index) for index in _indices(travelled - _START, post_every)]
    for role, every in (
        ("tree", _TREE_EVERY),
        ("house", _HOUSE_EVERY),
        ("parked", _PARKED_EVERY),
        ("billboard", _BILLBOARD_EVERY),
    ):
        found += [_scenery(seed, role, every, index) for index in _indices(travelled, every)]
    moved = _ONCOMING_SPEED * seconds
    found += [_oncoming(seed, i, moved) for i in _indices(travelled + moved, _ONCOMING_EVERY)]
    near = [thing for thing in found if 0.5 < thing.along - travelled < REACH]
    return sorted(near, key=lambda thing: (-thing.along, thing.track))


def _indices(travelled: float, every: float) -> Iterator[int]:
    first = max(0, math.floor(travelled / every) - 1)
    return iter(range(first, max(first, math.ceil((travelled + REACH) / every) + 1)))


@lru_cache(maxsize=256)
def _post(options: SceneOptions, index: int) -> Thing:
    rng = rng_of(options.seed, "post", index)
    every = SPEED * 60 / options.signs_per_minute
    name, is_foreign = _names(options.seed, index)
    place = rng.random()
    across, up = rng.uniform(2.1, 3.2), rng.uniform(2.1, 2.6)
    if place < 0.12:
        across = rng.uniform(-6.2, -5.4)
    elif place < 0.17:
        across, up = rng.uniform(-1.0, 1.0), rng.uniform(4.6, 5.2)
    leaves = None
    if rng.random() < 0.12:
        angle = rng.uniform(0, 2 * math.pi)
        leaves = Leaves(
            0.45 * math.cos(angle),
            0.45 * math.sin(angle),
            rng.uniform(0.4, 0.7),
            index % VARIANTS["leaves"],
        )
    return Thing(
        track=index * 8,
        role="post",
        name=f"?{name}" if is_foreign else name,
        along=_START + (index + rng.uniform(0.2, 0.8)) * every,
        across=across,
        up=up,
        size=rng.uniform(0.6, 0.75),
        tilt=rng.normal(0, 2.2),
        yaw=rng.uniform(0, 22),
        fade=rng.uniform(0.8, 1.05),
        plate=rng.random() < 0.15,
        leaves=leaves,
    )


def _names(seed: int, index: int) -> tuple[str, bool]:
    """Deal labels like cards, so that each comes equally often; some puzzles between them."""
    foreign = max(1, round(len(LABELS) * _FOREIGN_SHARE))
    deck = len(LABELS) + foreign
    rng = rng_of(seed, "block", index // deck)
    card = int(rng.permutation(deck)[index % deck])
    if card < len(LABELS):
        return LABELS[card], False
    others = rng.permutation(len(FOREIGN))
    return FOREIGN[int(others[card - len(LABELS)])], True


@lru_cache(maxsize=512)
def _scenery(seed: int, role: str, every: float, index: int) -> Thing:
    rng = rng_of(seed, role, index)
    side = 1 if rng.random() < 0.5 else -1
    along = (index + rng.uniform(0.1, 0.9)) * every
    drawing = str(rng.integers(VARIANTS[role]))
    if role == "tree":
        across, size, number = rng.uniform(8, 19), rng.uniform(4, 8.5), 1
    elif role == "house":
        across, size, number = rng.uniform(13, 22), rng.uniform(8, 12), 2
    elif role == "parked":
        across, size, number = rng.uniform(3.2, 3.9), rng.uniform(1.7, 1.9), 3
        across += 3.6 if side < 0 else 0.0
    else:
        across, size, number = rng.uniform(6.5, 9), rng.uniform(2.6, 3.6), 4
    return Thing(index * 8 + number, role, drawing, along, side * across, 0.0, size)


def _oncoming(seed: int, index: int, moved: float) -> Thing:
    rng = rng_of(seed, "oncoming", index)
    along = (index + rng.uniform(0.1, 0.9)) * _ONCOMING_EVERY - moved
    drawing = str(rng.integers(VARIANTS["oncoming"]))
    return Thing(index * 8 + 5, "oncoming", drawing, along, -3.3, 0.0, rng.uniform(1.7, 1.9))
