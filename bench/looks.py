"""Looks made up for the benches of spool and uplink: real form, random picture bytes."""

import random

from agent.contract.codec import Look
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, ScoredLabel

LABELS = ("Speed limit (50km/h)", "Speed limit (30km/h)", "Stop", "Yield", "Priority road")


def made_up(rng: random.Random, now: float, worth: float, picture_bytes: int) -> Look:
    """Return a look made at unix time `now`, with a picture of so many bytes."""
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
    return Look(meta, b"\xff\xd8\xff" + rng.randbytes(picture_bytes))
