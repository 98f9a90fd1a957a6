"""Small values for tests: looks, predictions, signed messages."""

import hashlib
from typing import Any

import cv2
import numpy as np
from securesystemslib.signer import CryptoSigner, Key

from agent.contract.codec import Look
from agent.contract.envelope import Signed, sign
from agent.contract.ids import new_id
from agent.contract.messages import LookMeta, ScoredLabel
from agent.vision.tracker import Sighting
from agent.vision.types import Box, Image, Prediction, Region

NOW = 1_780_000_000.0


class Keys:
    """A keyring with keys given by the test."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys)
        self.hurried = 0

    def hurry(self) -> None:
        self.hurried += 1


class FakeClock:
    """A clock that moves when told to."""

    def __init__(self, now: float = NOW) -> None:
        self.wall = now
        self.steady = 100.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def an_id(n: int) -> str:
    """The n-th id: always the same, in time order."""
    return new_id(NOW + n, hashlib.sha256(str(n).encode()).digest()[:10])


def picture(seed: int = 0, side: int = 48) -> Image:
    """A smooth random picture, the same for the same seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side)), np.uint8)


def jpeg(seed: int = 0, side: int = 48) -> bytes:
    return cv2.imencode(".jpg", picture(seed, side))[1].tobytes()


def coded(data: bytes) -> bytes:
    """A JPEG by all its headers, with this in place of pixels."""
    whole = jpeg()
    at = whole.index(b"\xff\xda")
    return whole[: at + 14] + data.replace(b"\xff", b"\0") + b"\xff\xd9"


def meta(n: int = 0, **changes: Any) -> LookMeta:
    values: dict[str, Any] = {
        "look_id": an_id(n),
        "device": "cam-1",
        "camera": "front",
        "sighting_id": an_id(n + 1_000_000),
        "captured_at": NOW + n,
        "frame": n,
        "frame_size": (640, 480),
        "box": (10, 20, 58, 68),
        "profile": "traffic-signs",
        "model": "0123456789abcdef",
        "agent": "0.1.0",
        "reason": "uncertain",
        "top": (ScoredLabel(label="Stop", score=0.6), ScoredLabel(label="Yield", score=0.3)),
        "margin": 0.3,
        "energy": -4.0,
    }
    return LookMeta.model_validate({**values, **changes})


def look(n: int = 0, **changes: Any) -> Look:
    return Look(meta(n, **changes), jpeg(n))


def prediction(label: str = "Stop", margin: float = 0.9, side: int = 48) -> Prediction:
    scores = np.array([0.5 + margin / 2, 0.5 - margin / 2], np.float32)
    region = Region(Box(0, 0, side, side))
    return Prediction(region, 0, label, float(scores[0]), margin, -5.0, scores)


def sighting(label: str = "Stop", n: int = 1, score: float = 0.9, frames: int = 5) -> Sighting:
    return Sighting(
        an_id(n), "front", label, score, score, NOW, NOW + frames / 10, frames,
        Box(0, 0, 48, 48), "provisional",
    )  # fmt: skip


def envelope(
    signer: CryptoSigner,
    channel: str,
    body: dict[str, Any],
    seq: int,
    audience: str = "cam-1",
    expires: float = NOW + 3600,
) -> bytes:
    signed = Signed(seq=seq, audience=audience, issued=NOW, expires=expires, body=body)
    return sign(channel, signed, signer)
