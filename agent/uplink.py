"""Everything between the state folder and the broker, in one thread. Shell."""

import logging
import queue
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.base.clock import Clock
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import (
    Event,
    Receipt,
    Reported,
    Status,
    Telemetry,
    Verdicts,
    from_json,
    to_json,
)
from agent.contract.topics import Channel, Topics
from agent.machine import clock_synced
from agent.notebook import Note, Notebook
from agent.sending import Sending
from agent.session import Acked, Inbound, Session
from agent.spool import Spool
from agent.twin import Twin

log = logging.getLogger(__name__)

EVENTS: Final = 16
TICK_S: Final = 0.5
STORAGE_S: Final = 2.0
"""Wait after the disk refused."""
AHEAD_MS: Final = 86_400_000
"""Verdict sequences follow the clock; one further ahead than a day is forged."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Where the uplink gets what it tells the world."""

    device: str
    instance: str
    """Of this process; stands in each status."""
    status: Callable[[], Status]
    reported: Callable[[], Reported]
    telemetry: Callable[[], Telemetry]


class Uplink:
    """Sends looks, events and reports; takes receipts, verdicts and orders."""

    def __init__(
        self,
        session: Session,
        topics: Topics,
        spool: Spool,
        notebook: Notebook,
        twin: Twin,
        reports: Reports,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        """Wire the parts; `run` does the work. `rng` spreads pauses."""
        self._session = session
        self._topics = topics
        self._spool = spool
        self._notebook = notebook
        self._twin = twin
        self._reports = reports
        self._clock = clock
        self._device = reports.device
        look_topic = topics.of(reports.device, "look")
        self._sending = Sending(session, reports.device, look_topic, spool, clock, rng)
        self._events: dict[int, Note] = {}
        self._connections = 0
        self._last_status: Status | None = None
        self._report_due = True
        self._telemetry_at = 0.0
        self._storage_problem = ""
        self.progress = 0
        self.receipted = 0
        self.verdicts = 0

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            self._session.wake.wait(TICK_S)
            self._session.wake.clear()
            self.progress += 1
            try:
                self.step()
            except UnavailableError as error:
                # What was being handled comes again: receipts and verdicts are repeated.
                again = bool(self._storage_problem)
                log.log(logging.DEBUG if again else logging.WARNING, "uplink_waits %s", error)
                self._storage_problem = str(error)[:200]
                stop.wait(STORAGE_S)
            else:
                self._storage_problem = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """What stands between the spool and the cloud, the broker's absence apart."""
        twin = f"another client uses the id {self._device}: two devices with one certificate?"
        contested = self._session.link.contested
        refused = self._sending.problem if self._session.connected else ""
        found = (self._storage_problem, refused, twin if contested else "")
        return tuple(problem for problem in found if problem)

    def step(self) -> None:
        """Do one round: take in what came, then send what is due."""
        self._take_in()
        if not self._session.connected:
            return
        if self._session.connections != self._connections:
            self._greet()
        self._send_status()
        self._send_events()
        self._sending.step()
        self._send_reports()

    def _greet(self) -> None:
        self._connections = self._session.connections
        self._last_status = None
        self._report_due = True
        self._events.clear()
        self._sending.reconnected()

    def _take_in(self) -> None:
        self._report_due |= self._twin.retry()
        while True:
            try:
                self._handle(self._session.inbox.get_nowait())
            except queue.Empty:
                break
            except BadContentError as error:
                log.warning("message_refused reason=%s", error)
        told: list[Note] = []
        while not self._session.acks.empty():
            told += self._settle(self._session.acks.get())
        if told:
            self._notebook.published(told)

    def _settle(self, ack: Acked) -> tuple[Note, ...]:
        """Take the broker's word on a message; return the sighting that it told of, if any."""
        if not self._session.settle(ack) or self._sending.acked(ack):
            return ()
        note = self._events.pop(ack.mid, None)
        if not ack.accepted:
            log.warning("publish_refused reason=%s", ack.reason)
            return ()
        # Even if nobody listened: that is nobody's loss, and no reason to repeat it.
        return (note,) if note else ()

    def _handle(self, message: Inbound) -> None:
        _, channel = self._topics.parse(message.topic)
        if channel == "receipt":
            self._on_receipt(from_json(Receipt, message.payload))
        elif channel == "verdict":
            self._on_verdicts(from_json(Verdicts, message.payload))
        elif channel in ("desired", "advice"):
            self._report_due |= self._twin.receive(channel, message.payload)
        elif channel == "status":
            self._on_status(from_json(Status, message.payload))

    def _on_status(self, status: Status) -> None:
        """Hear our own words again; those of another process come from a second device.

        On the first connection they may be left from before our start.
        """
        ours = status.instance in ("", self._reports.instance)
        if status.online and not ours and self._session.connections > 1:
            self._session.link.contest()
            log.error("device_id_used_twice device=%s", self._device)

    def _on_receipt(self, receipt: Receipt) -> None:
        self.receipted += self._sending.receipted(receipt.look_ids)
        self._sending.receipted(receipt.quarantined)
        if receipt.quarantined:
            self._spool.answered(receipt.quarantined)
            log.warning("looks_quarantined ids=%s", ",".join(receipt.quarantined))

    def _on_verdicts(self, batch: Verdicts) -> None:
        self._report_due = True
        applied = int(self._notebook.fact("verdict_seq", 0))
        if batch.seq <= applied or batch.after > applied:
            return  # applied already, or one before it is missing: the report says how far we are
        now = self._twin.now()
        if clock_synced(now) and batch.seq > now * 1000 + AHEAD_MS:
            raise BadContentError(f"verdicts: sequence {batch.seq} is far ahead of the clock")
        self._notebook.apply(batch.seq, batch.verdicts)
        self._spool.answered(v.look_id for v in batch.verdicts)
        self.verdicts += len(batch.verdicts)

    def _send_events(self) -> None:
        waiting = {n.sighting_id for n in self._events.values()}
        # Thousands may have gathered while the broker was away: looks need not queue behind them.
        most = max(1, self._session.in_flight // 4)
        for note in self._notebook.outbox(EVENTS):
            if note.sighting_id in waiting:
                continue
            if len(self._events) >= most or self._session.room <= 0:
                return
            mid = self._publish("event", to_json(event_of(note, self._device)))
            if mid is None:
                return
            self._events[mid] = note

    def _send_status(self) -> None:
        status = self._reports.status()
        told = self._last_status
        if told and status.model_copy(update={"at": told.at}) == told:
            return
        if self._publish("status", to_json(status), retain=True) is not None:
            self._last_status = status

    def _send_reports(self) -> None:
        if self._report_due:
            sent = self._publish("reported", to_json(self._reports.reported()), retain=True)
            self._report_due = sent is None
        now = self._clock.monotonic()
        if now >= self._telemetry_at:
            self._telemetry_at = now + self._twin.orders.settings.telemetry_period_s
            self._publish("telemetry", to_json(self._reports.telemetry()))

    def _publish(self, channel: Channel, payload: bytes, *, retain: bool = False) -> int | None:
        return self._session.publish(self._topics.of(self._device, channel), payload, retain=retain)


def event_of(note: Note, device: str) -> Event:
    """Return the event that tells of a sighting."""
    return Event(
        device=device,
        camera=note.camera,
        sighting_id=note.sighting_id,
        state=note.state,
        label=note.label,
        was=note.was,
        score=note.score,
        first_seen=note.first_seen,
        last_seen=note.last_seen,
        frames=note.frames,
        box=note.box,
        model=note.model,
    )
