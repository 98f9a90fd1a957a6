"""Looks waiting for their second look: the state of the row is the queue. Adapter.

stored -> asked (with a batch id) -> done, and back to stored while a look must wait. Every
terminal outcome writes its verdict in the same transaction, under the device's next number.
"""

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from agent.contract.ids import next_sequence
from agent.contract.messages import Verdict, to_json
from cloud.blobs import Place
from cloud.database import reading, transaction
from cloud.label.rules import Done, Later
from cloud.schema import devices, looks, verdicts

STORED: Final = "stored"
ASKED: Final = "asked"
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class Case:
    """What is needed to ask about one look; nothing of the device's guess."""

    look_id: str
    profile: str
    picture: Place
    context: Place
    attempts: int
    """This one included."""
    invalid: int


class LabelQueue:
    """The labelling side of the database. Safe for any number of threads and workers."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine
        self._reader = reading(engine)

    def assign(self, batch: str, size: int, now: float) -> int:
        """Give up to `size` waiting looks, oldest first, to a batch; return how many.

        Raises:
            UnavailableError: the database does not answer.
        """
        ready = (
            sa.select(looks.c.look_id)
            .where(looks.c.state == STORED, looks.c.not_before <= now)
            .order_by(looks.c.not_before, looks.c.received_at)
            .limit(size)
        )
        with transaction(self._reader) as connection:
            if connection.execute(ready.limit(1)).first() is None:
                return 0
        with transaction(self._engine) as connection:
            found = connection.execute(ready.with_for_update(skip_locked=True)).scalars().all()
            connection.execute(
                sa.update(looks)
                .where(looks.c.look_id.in_(found))
                .values(state=ASKED, batch=batch, asked_at=now)
            )
            return len(found)

    def members(self, batch: str) -> list[str]:
        """Return the ids of a batch's looks that are still asked about.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = sa.select(looks.c.look_id).where(looks.c.batch == batch, looks.c.state == ASKED)
        with transaction(self._reader) as connection:
            return list(connection.execute(query.order_by(looks.c.look_id)).scalars())

    def batches(self, prefix: str) -> list[str]:
        """Return the batches with looks still asked about, by the beginning of their id.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = sa.select(looks.c.batch).distinct().where(looks.c.state == ASKED)
        with transaction(self._reader) as connection:
            found = connection.execute(query.where(looks.c.batch.startswith(prefix)))
            return list(found.scalars())

    def reclaim(self, before: float) -> int:
        """Take looks back whose batch showed no progress since a time; return how many.

        Raises:
            UnavailableError: the database does not answer.
        """
        late = (looks.c.state == ASKED, looks.c.asked_at < before)
        with transaction(self._reader) as connection:
            if connection.execute(sa.select(looks.c.look_id).where(*late).limit(1)).first() is None:
                return 0
        with transaction(self._engine) as connection:
            taken = connection.execute(sa.update(looks).where(*late).values(state=STORED, batch=""))
            return taken.rowcount

    def release(self, batch: str) -> None:
        """Take back the looks that a batch has left behind.

        Raises:
            UnavailableError: the database does not answer.
        """
        left = (looks.c.batch == batch, looks.c.state == ASKED)
        with transaction(self._engine) as connection:
            connection.execute(sa.update(looks).where(*left).values(state=STORED, batch=""))

    def begin(self, look_id: str, batch: str, now: float) -> Case | None:
        """Count an attempt and return the case; None when the look is no longer this batch's.

        Raises:
            UnavailableError: the database does not answer.
        """
        mine = (looks.c.batch == batch, looks.c.state == ASKED)
        with transaction(self._engine) as connection:
            # The lease is the batch's: looks further down the line must not lose theirs.
            connection.execute(sa.update(looks).where(*mine).values(asked_at=now))
            counted = connection.execute(
                sa.update(looks)
                .where(looks.c.look_id == look_id, *mine)
                .values(attempts=looks.c.attempts + 1)
            )
            if counted.rowcount == 0:
                return None
            row = connection.execute(sa.select(looks).where(looks.c.look_id == look_id)).one()
        picture = Place(row.shard, row.offset, row.length)
        context = Place(row.shard, row.context_offset, row.context_length)
        return Case(row.look_id, row.profile, picture, context, row.attempts, row.invalid)

    def finish(self, look_id: str, done: Done, labeller: str, now: float) -> bool:
        """Write a look's outcome and its verdict; False when it had one already.

        Raises:
            UnavailableError: neither was written.
        """
        with transaction(self._engine) as connection:
            written = connection.execute(
                sa.update(looks)
                .where(looks.c.look_id == look_id, looks.c.state != DONE)
                .values(
                    state=DONE, batch="", outcome=done.outcome, label=done.label,
                    confidence=done.confidence, why=done.why, labeller=labeller, done_at=now,
                )
            )  # fmt: skip
            if written.rowcount == 0:
                return False
            look = connection.execute(sa.select(looks).where(looks.c.look_id == look_id)).one()
            _issue(connection, look, done, now)
            return True

    def put_back(self, look_id: str, batch: str, later: Later, now: float) -> None:
        """Let a look of a batch wait; one that another batch asks about by now stays with it.

        Raises:
            UnavailableError: it stays asked, until its lease runs out.
        """
        with transaction(self._engine) as connection:
            connection.execute(
                sa.update(looks)
                .where(looks.c.look_id == look_id, looks.c.batch == batch, looks.c.state == ASKED)
                .values(
                    state=STORED,
                    batch="",
                    not_before=now + later.wait_s,
                    attempts=looks.c.attempts - (0 if later.counts else 1),
                    invalid=looks.c.invalid + (1 if later.invalid else 0),
                    why=later.why,
                )
            )


def _issue(connection: Connection, look: Row[tuple[object, ...]], done: Done, now: float) -> None:
    device = devices.c.device == look.device
    # The lock makes numbers appear in their order: a reader never sees 8 before 7.
    query = sa.select(devices.c.verdict_last).where(device).with_for_update()
    seq = next_sequence(int(connection.execute(query).scalar_one()), now)
    verdict = Verdict(
        look_id=look.look_id,
        sighting_id=look.sighting_id,
        camera=look.camera,
        captured_at=look.captured_at,
        device_label=look.device_label,
        outcome=done.outcome,
        label=done.label,
        confidence=done.confidence,
    )
    connection.execute(
        sa.insert(verdicts).values(
            device=look.device,
            seq=seq,
            look_id=look.look_id,
            issued_at=now,
            body=to_json(verdict).decode(),
        )
    )
    connection.execute(sa.update(devices).where(device).values(verdict_last=seq))
