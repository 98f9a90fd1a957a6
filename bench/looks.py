"""Looks made up for the benches of spool and uplink: real form, pictures of noise."""

import random
from bisect import bisect_left
from functools import cache

import cv2
import numpy as np

from agent.contract.codec import Look
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, ScoredLabel

LABELS = ("Speed limit (50km/h)", "Speed limit (30km/h)", "Stop", "Yield", "Priority road")


def made_up(rng: random.Random, now: float, worth: float, picture_bytes: int) -> Look:
    """Return a look made at unix time `now`, with a picture of about so many bytes."""
    meta = LookMeta(
        look_id=new_id(now, rng.randbytes(10)),
        device="cam-1",
        camera="road",
        sighting_id=new_id(now, rng.randbytes(10)),
        captured_at=now,
        frame=rng.randrange(1_000_000),
        frame_size=(640, 480),
        box=(100, 100, 164, 164),
        profile="traffic-signs",
        model=rng.randbytes(8).hex(),
        agent="0.1.0",
        reason="uncertain",
        top=tuple(ScoredLabel(label=x, score=0.3 - i / 20) for i, x in enumerate(LABELS)),
        margin=1.0 - worth,
        energy=-3.2,
        worth=worth,
    )
    sizes, pictures = noise()
    return Look(meta, pictures[min(bisect_left(sizes, picture_bytes), len(sizes) - 1)])


@cache
def noise() -> tuple[list[int], list[bytes]]:
    """Return JPEGs of noise by their size, from 700 bytes to 3 KB in small steps."""
    rng = np.random.default_rng(20)
    coded = [
        cv2.imencode(".jpg", rng.integers(0, 256, (side, wide, 3), np.uint8))[1].tobytes()
        for side in range(8, 41)
        for wide in (side, side + 4)
    ]
    pictures = sorted((c for c in coded if 600 <= len(c) <= 3_000), key=len)
    return [len(picture) for picture in pictures], pictures
