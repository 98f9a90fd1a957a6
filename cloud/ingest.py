"""Looks from the broker to disk, then receipts, then acknowledgements. Shell.

The order is the promise: shard durable, transaction durable, receipt, acknowledgement. A crash
anywhere leaves looks that the broker or the device sends again; their ids are unique, so they
are stored once, and a look that is stored already gets its receipt again.
"""

import logging
import random
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agent.base.backoff import delays
from agent.base.clock import Clock
from agent.base.crash import crash_point
from agent.contract.codec import Look
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.ids import new_id
from agent.contract.messages import Receipt, Reported, to_json
from agent.contract.topics import Channel, Topics
from cloud.blobs import Blobs, ShardBuilder
from cloud.bus import Arrived, Bus
from cloud.config import IngestConfig
from cloud.shards import LOOKS, QUARANTINE, add_look, clear_orphans, day_of, shard_name
from cloud.sieve import Bad, Heard, claimed_id, sift
from cloud.store import BadMessage, Store, StoredLook, TakenError

log = logging.getLogger(__name__)

GAP_S: Final = 0.005
"""A batch closes at the first gap of this length: the broker may be waiting for us."""
IDLE_S: Final = 0.5
RETRY_S: Final = (0.5, 30.0)
RECEIPT_IDS: Final = 512
KEPT_BYTES: Final = 128 * 1024
"""Most of a bad payload that is kept."""
CONFLICT: Final = "conflict"
CHANNELS: Final[tuple[tuple[Channel, int], ...]] = (
    ("look", 1),
    ("status", 1),
    ("reported", 1),
    ("telemetry", 0),
    ("event", 0),
)


@dataclass(slots=True)
class Batch:
    """What one drain of the inbox brought, sorted."""

    shard_id: str
    at: float
    looks: dict[str, Look] = field(default_factory=dict)
    messages: dict[str, Arrived] = field(default_factory=dict)
    """What brought each of the looks."""
    again: list[tuple[Look, Arrived]] = field(default_factory=list)
    """Looks with the id of an earlier one of this batch."""
    heard: list[Heard] = field(default_factory=list)
    bad: list[tuple[Bad, Arrived]] = field(default_factory=list)
    aside: list[Bad] = field(default_factory=list)
    """Those of `bad` that are kept: the others get no receipt, for nobody has them."""
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    """(device, look id) of looks that are stored already, or twice in this batch."""
    probes: list[tuple[str, str]] = field(default_factory=list)
    """The same of questions whether anybody answers: receipted, never stored."""


class Ingest:
    """Drains one `Bus` into one `Store`. `run` belongs to one thread."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        store: Store,
        blobs: Blobs,
        config: IngestConfig,
        clock: Clock,
        name: str,
        on_reported: Callable[[Reported], None] = lambda _: None,
    ) -> None:
        """Wire the parts.

        Args:
            bus: Where messages come from and receipts go.
            topics: Names of both.
            store: Rows.
            blobs: Pictures.
            config: Batch size and limits.
            clock: Time.
            name: This worker's, part of its shards' names.
            on_reported: Told of each report once it is stored.
        """
        self._bus = bus
        self._topics = topics
        self._store = store
        self._blobs = blobs
        self._config = config
        self._clock = clock
        self._name = name
        self._on_reported = on_reported
        self._quarantined: dict[tuple[str, str], int] = {}
        self.counters: Counter[str] = Counter()
        self.problem = ""
        self.progress = 0

    def clear_orphans(self) -> int:
        """Delete shards of this worker that a crash left without rows; return how many.

        Raises:
            UnavailableError: storage does not answer.
        """
        return clear_orphans(self._blobs, self._store, self._config.retention, self._name)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop; while storage fails, wait and try the same batch again."""
        while not stop.is_set():
            self.progress += 1
            messages = self._collect()
            if messages:
                self._persist(messages, stop)

    def _persist(self, messages: Sequence[Arrived], stop: threading.Event) -> None:
        waits = delays(*RETRY_S, random.Random(secrets.randbits(64)))  # noqa: S311 - jitter
        now = self._clock.now()
        shard_id = new_id(now, secrets.token_bytes(10))
        poison: Exception | None = None
        while not stop.is_set():
            self.progress += 1
            try:
                if poison:
                    self._put_aside(messages[0], shard_id, now, poison)
                else:
                    self.take(messages, shard_id, now)
            except UnavailableError as error:
                log.log(logging.DEBUG if self.problem else logging.ERROR, "ingest_waits %s", error)
                self.problem = str(error)
                stop.wait(next(waits))
            except Exception as error:  # the top of a thread: a bug that one message finds
                if poison:
                    raise
                log.exception("ingest_failed messages=%d", len(messages))
                if len(messages) > 1:
                    for message in messages:
                        self._persist([message], stop)
                    return
                poison = error
            else:
                self.problem = ""
                return

    def _collect(self) -> list[Arrived]:
        """Return a batch: whatever is there, and what follows it without a gap.

        Gaps are slept through: to be woken for each message costs more than to store it.
        """
        messages = self._bus.take(self._config.batch, IDLE_S)
        deadline = time.monotonic() + self._config.linger_ms / 1_000
        while messages and (room := self._config.batch - len(messages)):
            if time.monotonic() >= deadline:
                break
            time.sleep(GAP_S)
            more = self._bus.take(room, 0)
            if not more:
                break
            messages += more
        return messages

    def take(self, messages: Sequence[Arrived], shard_id: str, now: float) -> None:
        """Store one batch and answer it. Doing it again with the same arguments is safe.

        Raises:
            UnavailableError: not stored, so neither receipted nor acknowledged.
        """
        batch = self._sort(messages, shard_id, now)
        self._set_known_aside(batch)
        shards = [self._shard_name(kind, batch) for kind in (LOOKS, QUARANTINE)]
        try:
            stored, bad = self._write(batch)
        except TakenError:
            self._blobs.delete(shards)
            raise
        except BadContentError as error:
            self._blobs.delete(shards)
            self._take_singly(messages, shard_id, now, error)
            return
        self.counters["messages"] += len(messages)
        self.counters["bytes"] += sum(len(message.payload) for message in messages)
        self.counters["looks"] += len(stored)
        self.counters["duplicates"] += len(batch.duplicates)
        self.counters["quarantined"] += len(bad)
        self.counters["conflicts"] += sum(is_conflict(item) for item, _ in batch.bad)
        self._send_receipts(batch)
        self._bus.ack(messages)
        for item in batch.heard:
            if isinstance(item.message, Reported):
                self._on_reported(item.message)

    def _take_singly(
        self, messages: Sequence[Arrived], shard_id: str, now: float, error: BadContentError
    ) -> None:
        """Find the message that the database refuses, so that it cannot hold up the others."""
        if len(messages) > 1:
            for number, message in enumerate(messages):
                self.take([message], f"{shard_id}-{number}", now)
            return
        self._put_aside(messages[0], shard_id, now, error)

    def _put_aside(self, message: Arrived, shard_id: str, now: float, error: Exception) -> None:
        """Dead-letter a message that can be read but not be dealt with."""
        what = "" if isinstance(error, BadContentError) else f"{type(error).__name__}: "
        reason = f"{what}{error}"[:300]
        log.error("message_refused topic=%s %s", message.topic, reason)
        try:
            device, channel = self._topics.parse(message.topic)
        except BadContentError:
            device, channel = "", "event"
        look_id = claimed_id(message.payload) if channel == "look" else ""
        batch = Batch(shard_id, now)
        batch.bad.append((Bad(device, look_id, reason), message))
        self._write(batch)
        self.counters["quarantined"] += 1
        self._send_receipts(batch)
        self._bus.ack([message])

    def _sort(self, messages: Sequence[Arrived], shard_id: str, now: float) -> Batch:
        batch = Batch(shard_id, now)
        for message in messages:
            found = sift(self._topics, message.topic, message.payload)
            if isinstance(found, Look):
                self._sort_look(batch, found, message)
            elif isinstance(found, Heard):
                batch.heard.append(found)
            elif isinstance(found, Bad):
                batch.bad.append((found, message))
        return batch

    @staticmethod
    def _sort_look(batch: Batch, look: Look, message: Arrived) -> None:
        look_id = look.meta.look_id
        if look.meta.reason == "probe":
            batch.probes.append((look.meta.device, look_id))
            return
        first = batch.looks.setdefault(look_id, look)
        if first is look:
            batch.messages[look_id] = message
        else:
            batch.again.append((look, message))

    def _set_known_aside(self, batch: Batch) -> None:
        known = self._store.known(list(batch.looks)) if batch.looks else {}
        kept = {look_id: look.sha256.hex() for look_id, look in batch.looks.items()} | known
        found = [(batch.looks.pop(look_id), batch.messages[look_id]) for look_id in known]
        for look, message in (*found, *batch.again):
            if kept[look.meta.look_id] == look.sha256.hex():
                batch.duplicates.append((look.meta.device, look.meta.look_id))
            else:
                batch.bad.append((conflict(look), message))

    def _write(self, batch: Batch) -> tuple[list[StoredLook], list[BadMessage]]:
        shard = ShardBuilder(self._shard_name(LOOKS, batch))
        stored = [add_look(shard, look, batch.at) for look in batch.looks.values()]
        aside = ShardBuilder(self._shard_name(QUARANTINE, batch))
        bad = [self._set_aside(aside, n, *pair, batch) for n, pair in enumerate(batch.bad)]
        kept = [item for item in bad if item]
        batch.aside = [about for item, (about, _) in zip(bad, batch.bad, strict=True) if item]
        if stored:
            self._blobs.write(shard.name, shard.finish())
            crash_point("ingest-after-shard")
        if kept:
            self._blobs.write(aside.name, aside.finish())
        if stored or kept or batch.heard:
            self._store.add(stored, kept, batch.heard, batch.at)
        if stored:
            crash_point("ingest-after-commit")
        return stored, kept

    def _set_aside(
        self, shard: ShardBuilder, number: int, bad: Bad, message: Arrived, batch: Batch
    ) -> BadMessage | None:
        log.warning("look_quarantined topic=%s reason=%s", message.topic[:120], bad.reason)
        if not self._may_keep(bad.device, batch.at):
            self.counters["discarded"] += 1
            return None
        return BadMessage(
            device=bad.device,
            topic=message.topic[:300],
            look_id=bad.look_id,
            reason=bad.reason,
            received_at=batch.at,
            size=len(message.payload),
            payload=shard.add(f"{number:04d}.bin", message.payload[:KEPT_BYTES], batch.at),
        )

    def _may_keep(self, device: str, now: float) -> bool:
        key = (device, day_of(now))
        if key not in self._quarantined:
            self._quarantined = {k: n for k, n in self._quarantined.items() if k[1] == key[1]}
            midnight = now - now % 86_400
            self._quarantined[key] = self._store.quarantined_since(device, midnight)
        self._quarantined[key] += 1
        return self._quarantined[key] <= self._config.quarantine_per_day

    def _shard_name(self, kind: str, batch: Batch) -> str:
        retention = self._config.retention
        return shard_name(kind, retention, batch.at, self._name, batch.shard_id)

    def _send_receipts(self, batch: Batch) -> None:
        good: dict[str, list[str]] = defaultdict(list)
        bad: dict[str, list[str]] = defaultdict(list)
        for look in batch.looks.values():
            good[look.meta.device].append(look.meta.look_id)
        for device, look_id in (*batch.duplicates, *batch.probes):
            good[device].append(look_id)
        for item in batch.aside:
            if item.device and item.look_id:
                bad[item.device].append(item.look_id)
        for device in {**good, **bad}:
            topic = self._topics.of(device, "receipt")
            receipt = Receipt(
                look_ids=tuple(good[device][:RECEIPT_IDS]),
                quarantined=tuple(bad[device][:RECEIPT_IDS]),
            )
            if self._bus.publish(topic, to_json(receipt)):
                self.counters["receipts"] += len(receipt.look_ids)
                crash_point("ingest-after-receipt")


def conflict(look: Look) -> Bad:
    """Describe a look whose id is taken by other bytes: the first one stays."""
    reason = f"{CONFLICT}: look {look.meta.look_id} is stored with another picture"
    return Bad(look.meta.device, look.meta.look_id, reason)


def is_conflict(bad: Bad) -> bool:
    """Tell whether an id was taken, apart from all else that may be bad."""
    return bad.reason.startswith(CONFLICT)
