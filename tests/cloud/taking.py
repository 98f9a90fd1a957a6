"""Ingest without a broker: messages go in by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Engine

from agent.base.clock import Clock
from agent.contract.config import BrokerConfig
from agent.contract.topics import Topics
from cloud.blobs import Blobs
from cloud.bus import Arrived, Bus
from cloud.config import IngestConfig
from cloud.ingest import Ingest
from cloud.store import Store
from tests.makers import FakeClock, an_id


class Taking:
    """An ingest whose bus is not connected: it stores, and answers nobody."""

    def __init__(
        self, engine: Engine, root: Path, clock: Clock | None = None, **config: Any
    ) -> None:
        self.blobs = Blobs(f"file://{root}/objects")
        self.clock = clock or FakeClock()
        self.ingest = Ingest(
            Bus(BrokerConfig(), "nobody"), Topics(), Store(engine), self.blobs,
            IngestConfig(**config), self.clock, "main",
        )  # fmt: skip
        self._batches = 0

    def take(self, *payloads: bytes, device: str = "cam-1", channel: str = "look") -> None:
        topic = f"secondlook/{device}/{channel}"
        self.arrive([Arrived(topic, payload, 1, 1, 1) for payload in payloads])

    def arrive(self, messages: Sequence[Arrived]) -> None:
        self._batches += 1
        self.ingest.take(messages, an_id(self._batches), self.clock.now())
