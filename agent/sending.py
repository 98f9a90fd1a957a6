"""Looks on their way: which go next, how many at a time, and what the broker said. Shell.

A PUBACK is not delivery: a look leaves the spool on the cloud's receipt alone, and is sent again
when none comes. How many may wait for their receipt follows what comes back: halved when receipts
stay out, grown by those that come, so that a cloud that is away costs a look now and then, not
the whole spool again and again.
"""

import logging
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.base.backoff import delays
from agent.base.clock import Clock
from agent.base.crash import crash_point
from agent.contract.codec import Look, decode_look
from agent.contract.errors import BadContentError, UnavailableError
from agent.fitting import fitted
from agent.packet_limit import PacketLimit
from agent.session import Acked, Session
from agent.spool import Spool
from agent.spool_index import SpoolItem

log = logging.getLogger(__name__)

RESEND_S: Final = (20.0, 600.0)
AFTER_RECONNECT_S: Final = 3.0
WINDOW: Final = 64
"""Looks sent and not yet receipted, at most."""
PATIENCE_S: Final = 60.0
"""A look without receipt keeps its place in the window no longer: another one may try."""
DOUBLINGS: Final = 5
REFUSED_S: Final = (5.0, 60.0)
"""Pause after the broker refused a look."""
HELD_S: Final = 600.0
"""A look that cannot be sent as things are is tried again after so long."""
SILENT_S: Final = 120.0
"""Without a receipt for so long, somebody should know."""
TOPIC_BYTES: Final = 200
"""Room for topic and headers below the broker's packet limit."""
SIZE_REASONS: Final = ("too large", "too long")
NOT_TAKEN: Final = {
    "subscribers": "nobody in the cloud listens for looks: does the worker run, with this prefix?",
    "authorized": "the broker refuses our looks (not authorized): check its access rules",
}


@dataclass(frozen=True, slots=True)
class Awaited:
    """A look that was sent and has no receipt yet."""

    item: SpoolItem
    until: float
    """Monotonic seconds when its place in the window is free again."""
    size: int
    """Bytes as sent."""
    receipts: int
    """Receipts that had come when it was sent."""
    is_live: bool


class Sending:
    """Sends looks from the spool. Belongs to the uplink's thread."""

    def __init__(
        self,
        session: Session,
        device: str,
        topic: str,
        spool: Spool,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """Send looks of `device` to `topic`; `rng` spreads pauses."""
        self._session = session
        self._device = device
        self._topic = topic
        self._spool = spool
        self._clock = clock
        self._rng = rng
        self._awaited: dict[str, Awaited] = {}
        self._on_wire: dict[int, Awaited] = {}
        """By message id, until the broker's word."""
        self._window = WINDOW // 8
        self._pauses = self._fresh_pauses()
        self._resume_at = 0.0
        self._limit = PacketLimit()
        self._held: dict[str, str] = {}
        """Looks passed over, and why."""
        self._turn = False
        self._refused = ""
        self._waiting_since: float | None = None
        """Since when no receipt has come for what was sent."""
        self.receipts = 0

    @property
    def problem(self) -> str:
        """What keeps looks from the cloud, while connected; empty: nothing."""
        since = self._waiting_since
        if self._refused:
            return self._refused
        if since is not None and self._clock.monotonic() - since > SILENT_S:
            return "no receipts, though the broker takes our looks: does the cloud worker run?"
        if self._held:
            first = next(iter(self._held.values()))
            return f"looks held back: {len(self._held)} ({first})"
        return ""

    def step(self) -> None:
        """Send what is due, as far as there is room."""
        now = self._clock.monotonic()
        self._expire(now)
        if now < self._resume_at:
            return
        for item, is_live in self._next(now):
            payload = self._payload(item, now)
            if payload is not None and not self._send(item, payload, is_live=is_live):
                return

    def _next(self, now: float) -> list[tuple[SpoolItem, bool]]:
        """Choose what goes now, and tell what is live.

        Live looks go first, and the backlog never has more than half of what may be on the wire,
        so that they need not queue behind it; one place is the backlog's own, however many come,
        and where there is only one, they take turns.
        """
        places = min(self._window - len(self._awaited), self._session.room)
        old = sum(not sent.is_live for sent in self._on_wire.values())
        backlog = self._spool.backlog(min(places, max(1, self._session.in_flight // 2) - old), now)
        self._turn = not self._turn
        kept = 1 if backlog and not old and (places > 1 or self._turn) else 0
        live = self._spool.live(places - kept, now)
        return [*((i, True) for i in live), *((i, False) for i in backlog)][: max(0, places)]

    def reconnected(self) -> None:
        """Begin anew on a fresh connection; what was on its way may be lost."""
        now = self._clock.monotonic()
        if self._on_wire:
            largest = max(sent.size for sent in self._on_wire.values())
            too_large = self._session.link.too_large
            (self._limit.refused if too_large else self._limit.broke)(largest, now)
        # Receipts of what the broker has may be on their way; of the rest none can come.
        self._spool.hasten(now + AFTER_RECONNECT_S)
        for sent in self._on_wire.values():
            self._spool.sent(sent.item.look_id, now, 0)
        self._awaited.clear()
        self._on_wire.clear()
        self._refused, self._waiting_since = "", None
        self._held.clear()

    def acked(self, ack: Acked) -> bool:
        """Take the broker's word on a message; False where it was no look of ours."""
        sent = self._on_wire.pop(ack.mid, None)
        if sent is None:
            return False
        if ack.accepted and not ack.unheard:
            self._refused, self._pauses = "", self._fresh_pauses()
            return True
        now = self._clock.monotonic()
        self._awaited.pop(sent.item.look_id, None)
        if any(words in ack.reason.lower() for words in SIZE_REASONS):
            self._limit.refused(sent.size, now)
            self._spool.sent(sent.item.look_id, now, -1)
            return True
        if now >= self._resume_at:  # those sent with it are refused with it: one pause for all
            self._window, self._resume_at = 1, now + next(self._pauses)
        self._spool.sent(sent.item.look_id, self._resume_at, -1)
        self._refuse(ack.reason)
        return True

    def receipted(self, look_ids: Iterable[str]) -> int:
        """Forget looks that the cloud has; return how many were there.

        Raises:
            UnavailableError: the disk does not let us; the receipt comes again.
        """
        ids = tuple(look_ids)
        for look_id in ids:
            self._awaited.pop(look_id, None)
            self._held.pop(look_id, None)
        self.receipts += len(ids)
        self._window = min(WINDOW, self._window + len(ids))
        self._waiting_since = self._clock.monotonic() if self._awaited else None
        crash_point("uplink-before-forget")
        return self._spool.forget(ids)

    def _send(self, item: SpoolItem, payload: bytes, *, is_live: bool) -> bool:
        now = self._clock.monotonic()
        mid = self._session.publish(self._topic, payload)
        if mid is None:
            return False
        crash_point("uplink-after-publish")
        due_at = now + min(RESEND_S[1], RESEND_S[0] * 2 ** min(item.attempts, DOUBLINGS))
        until = min(due_at, now + PATIENCE_S)
        sent = Awaited(item, until, len(payload), self.receipts, is_live)
        self._awaited[item.look_id] = self._on_wire[mid] = sent
        self._spool.sent(item.look_id, due_at)
        self._held.pop(item.look_id, None)
        if self._waiting_since is None:
            self._waiting_since = now
        return True

    def _expire(self, now: float) -> None:
        late = [a for a in self._awaited.values() if a.until <= now]
        for sent in late:
            del self._awaited[sent.item.look_id]
            self._limit.overtaken(sent.size, self.receipts - sent.receipts, now)
        if late:
            self._window = max(1, self._window // 2)

    def _payload(self, item: SpoolItem, now: float) -> bytes | None:
        """Return a look's bytes, made to fit; None where it cannot be sent now, or at all."""
        try:
            payload = self._spool.payload(item)
        except UnavailableError as error:
            self._hold_back(item, str(error), now)  # one bad block is no reason to stop the rest
            return None
        if payload is None:
            return None
        try:
            look = decode_look(payload)
        except BadContentError as error:
            # The disk has spoilt it: sent, it would come to nothing, again and again.
            log.warning("look_set_aside id=%s reason=%s", item.look_id, error)
            self._spool.set_aside(item, str(error))
            return None
        if look.meta.device != self._device:
            self._hold_back(item, f"made as {look.meta.device}, this device is {self._device}", now)
            return None
        return self._made_to_fit(item, look, payload, now)

    def _made_to_fit(self, item: SpoolItem, look: Look, payload: bytes, now: float) -> bytes | None:
        limit = self._limit.at(now, self._session.link.max_packet)
        if limit is None or len(payload) + TOPIC_BYTES <= limit:
            return payload
        smaller = fitted(look, limit - TOPIC_BYTES)
        if smaller is None:
            self._hold_back(item, f"the broker takes no more than {limit} bytes", now)
            return None
        log.info("look_shrunk id=%s from=%d to=%d", item.look_id, len(payload), len(smaller))
        self._spool.replace(item, smaller)
        return smaller

    def _hold_back(self, item: SpoolItem, why: str, now: float) -> None:
        """Pass over a look that cannot be sent as things are; its file stays where it is."""
        if item.look_id not in self._held:
            log.warning("look_held_back id=%s reason=%s", item.look_id, why)
        self._held[item.look_id] = why
        self._spool.sent(item.look_id, now + HELD_S, 0)

    def _refuse(self, reason: str) -> None:
        found = [words for key, words in NOT_TAKEN.items() if key in reason.lower()]
        problem = found[0] if found else f"the broker takes no looks now ({reason})"
        if problem != self._refused:
            log.warning("looks_refused reason=%s", reason)
        self._refused = problem

    def _fresh_pauses(self) -> Iterator[float]:
        return delays(*REFUSED_S, self._rng)
