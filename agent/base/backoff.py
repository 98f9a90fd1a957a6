"""Waiting times between attempts. Pure."""

import random
from collections.abc import Iterator


def delays(first_s: float, cap_s: float, rng: random.Random, floor: float = 0.5) -> Iterator[float]:
    """Yield capped exponential delays with jitter, for ever.

    Each lies in [floor, 1] of first, 2 * first, 4 * first ... up to the cap, so that a fleet
    whose broker restarts does not come back in step.
    """
    full = first_s
    while True:
        yield full * (floor + (1.0 - floor) * rng.random())
        full = min(cap_s, full * 2)
