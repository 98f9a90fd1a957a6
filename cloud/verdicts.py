"""Verdicts to devices, sent again until `reported` shows them applied. Shell.

A device applies batches in order: each names the number before it. So any tail above what the
device reports may be sent again at any time, in batches cut anywhere.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.base.clock import Clock
from agent.contract.messages import Reported, Verdict, Verdicts, from_json, to_json
from agent.contract.topics import Topics
from cloud.bus import Bus
from cloud.config import VerdictConfig
from cloud.database import reading, transaction
from cloud.schema import devices, verdicts

BATCH: Final = 64
WINDOW: Final = 512
"""Verdicts sent and not yet applied, per device."""
RESEND_CAP_S: Final = 600.0
REPORT_GAP_S: Final = 2.0
"""A report so soon after sending has probably crossed the verdicts on the way."""


@dataclass(slots=True)
class Progress:
    """How far one device has been sent verdicts since this process started."""

    sent: int = 0
    sent_at: float = 0.0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """A device that has not applied everything."""

    device: str
    online: bool
    last: int
    applied: int


class VerdictPublisher:
    """Sends what devices have not applied. `step` belongs to one thread."""

    def __init__(
        self, bus: Bus, topics: Topics, engine: Engine, config: VerdictConfig, clock: Clock
    ) -> None:
        """Wire the parts."""
        self._bus = bus
        self._topics = topics
        self._reader = reading(engine)
        self._config = config
        self._clock = clock
        self._progress: dict[str, Progress] = {}
        self._lock = threading.Lock()
        self.counters: Counter[str] = Counter()

    def on_reported(self, reported: Reported) -> None:
        """Take note that a device came back: what lies above its report is sent again now."""
        now = self._clock.monotonic()
        with self._lock:
            progress = self._progress.get(reported.device)
            if progress and reported.verdict_seq < progress.sent:
                if now - progress.sent_at >= REPORT_GAP_S:
                    progress.sent = reported.verdict_seq
            elif progress:
                progress.tries = 0

    def step(self) -> int:
        """Send what is due; return how many verdicts were sent.

        Raises:
            UnavailableError: the database does not answer.
        """
        if not self._bus.connected:
            return 0
        return sum(self._serve(waiting) for waiting in self._waiting())

    def _waiting(self) -> list[Waiting]:
        columns = (
            devices.c.device, devices.c.online, devices.c.verdict_last, devices.c.verdict_applied,
        )  # fmt: skip
        behind = sa.select(*columns).where(devices.c.verdict_last > devices.c.verdict_applied)
        with transaction(self._reader) as connection:
            return [Waiting(*row) for row in connection.execute(behind)]

    def _serve(self, waiting: Waiting) -> int:
        with self._lock:
            progress = self._progress.setdefault(waiting.device, Progress())
            start = self._start(waiting, progress)
        if start is None:
            return 0
        found = self._read(waiting.device, start, waiting.applied)
        count = 0
        for at in range(0, len(found), BATCH):
            part = found[at : at + BATCH]
            message = Verdicts(
                seq=part[-1][0], after=start, verdicts=tuple(verdict for _, verdict in part)
            )
            if not self._bus.publish(self._topics.of(waiting.device, "verdict"), to_json(message)):
                break
            start = message.seq
            count += len(part)
        with self._lock:
            progress.sent = max(progress.sent, start)
            progress.sent_at = self._clock.monotonic()
        self.counters["verdicts_sent"] += count
        return count

    def _start(self, waiting: Waiting, progress: Progress) -> int | None:
        """Return the number above which to send now; None: nothing is due."""
        if progress.sent < waiting.applied or progress.sent == 0:
            progress.sent, progress.tries = waiting.applied, 0
        late = self._config.resend_s * 2.0**progress.tries
        idle = self._clock.monotonic() - progress.sent_at
        if progress.sent > waiting.applied and idle >= min(RESEND_CAP_S, late):
            # The broker keeps a queue for a device that is away: no need to fill it further.
            if not waiting.online and progress.tries:
                return None
            progress.sent = waiting.applied
            progress.tries += 1
            self.counters["resends"] += 1
        return progress.sent if progress.sent < waiting.last else None

    def _read(self, device: str, above: int, applied: int) -> list[tuple[int, Verdict]]:
        """Return the next verdicts, keeping at most `WINDOW` of them on the way."""
        mine = verdicts.c.device == device
        count = sa.select(sa.func.count()).select_from(verdicts)
        under_way = count.where(mine, verdicts.c.seq > applied, verdicts.c.seq <= above)
        query = (
            sa.select(verdicts.c.seq, verdicts.c.body)
            .where(mine, verdicts.c.seq > above)
            .order_by(verdicts.c.seq)
        )
        with transaction(self._reader) as connection:
            room = WINDOW - int(connection.execute(under_way).scalar_one())
            rows = connection.execute(query.limit(room)).all() if room > 0 else []
        return [(row.seq, from_json(Verdict, row.body.encode())) for row in rows]
