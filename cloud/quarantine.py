"""Messages that were set aside: found, described, settled. Adapter."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cloud.blobs import Place
from cloud.database import reading, transaction
from cloud.schema import quarantine
from cloud.store import StoredLook, TakenError, add_looks, introduce


@dataclass(frozen=True, slots=True)
class Kept:
    """One message that was set aside."""

    number: int
    device: str
    """Of the topic; empty when the topic names none."""
    topic: str
    look_id: str
    """Empty when unknown."""
    reason: str
    received_at: float
    size: int
    place: Place

    @property
    def whole(self) -> bool:
        """False where only the first bytes were kept."""
        return self.place.length == self.size


class Quarantine:
    """The rows of what was set aside. Safe for any number of threads."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self.engine = engine
        self._reader = reading(engine)

    def count(self, device: str = "") -> int:
        """Return how many messages are set aside, of one device or of all.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = _of(sa.select(sa.func.count()).select_from(quarantine), device)
        with transaction(self._reader) as connection:
            return int(connection.execute(query).scalar_one())

    def newest(self, device: str, limit: int) -> list[Kept]:
        """Return the messages that were set aside last, newest first.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = _of(sa.select(quarantine), device).order_by(quarantine.c.id.desc()).limit(limit)
        return self._rows(query)

    def after(self, number: int, device: str, limit: int) -> list[Kept]:
        """Return messages above a number, by their numbers.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = _of(sa.select(quarantine), device).where(quarantine.c.id > number)
        return self._rows(query.order_by(quarantine.c.id).limit(limit))

    def of_numbers(self, numbers: Collection[int]) -> list[Kept]:
        """Return the messages of these numbers, those that are there.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = sa.select(quarantine).where(quarantine.c.id.in_(numbers))
        return self._rows(query.order_by(quarantine.c.id))

    def settle(
        self, new: Sequence[StoredLook], gone: Collection[int], reasons: Mapping[int, str]
    ) -> None:
        """Write looks that turned out good, and forget or describe anew what was set aside.

        All in one transaction: a message is either still set aside or its look is stored.

        Args:
            new: Looks whose pictures are durable.
            gone: Numbers of messages to forget, those of `new` among them.
            reasons: What is wrong with those that stay.

        Raises:
            BadContentError: one of the rows is impossible; nothing was written.
            TakenError: a look is stored, or a message gone, by somebody else; nothing was written.
            UnavailableError: nothing was written.
        """
        with transaction(self.engine) as connection:
            if gone:
                forget = sa.delete(quarantine).where(quarantine.c.id.in_(gone))
                if connection.execute(forget).rowcount < len(gone):
                    raise TakenError("database: somebody else settles these messages")
            if new:
                last = max(item.received_at for item in new)
                introduce(connection, {item.meta.device for item in new}, last)
                if add_looks(connection, new) < len(new):
                    raise TakenError("database: some of these looks were stored meanwhile")
            for number, reason in reasons.items():
                statement = sa.update(quarantine).where(quarantine.c.id == number)
                connection.execute(statement.values(reason=reason))

    def _rows(self, query: sa.Select[Any]) -> list[Kept]:
        with transaction(self._reader) as connection:
            return [
                Kept(
                    row.id, row.device, row.topic, row.look_id, row.reason, row.received_at,
                    row.size, Place(row.shard, row.offset, row.length),
                )
                for row in connection.execute(query)
            ]  # fmt: skip


def _of(query: sa.Select[Any], device: str) -> sa.Select[Any]:
    return query.where(quarantine.c.device == device) if device else query
