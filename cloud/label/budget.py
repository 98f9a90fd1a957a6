"""Money: nothing is asked whose whole possible cost does not fit below the day's cap. Adapter.

A call reserves the most it can cost, then settles for what it did cost. A worker that dies in
between leaves the reservation standing: it counts in full, so the cap holds over any crash.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cloud.config import LabelConfig
from cloud.database import reading, transaction
from cloud.grant import Paid
from cloud.label.answer import Usage
from cloud.label.prompt import Question
from cloud.schema import spend, spend_days
from cloud.store import insert_new

NANO: Final = 1_000_000_000
NANO_PER_MICRO: Final = 1_000
OVERHEAD_TOKENS: Final = 100
"""Roles and separators that a service adds around messages."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money set aside for one call."""

    id: int
    day: str
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Sums over all days, or one."""

    usd: float
    """Settled, and reserved by calls that never settled."""
    calls: int
    tokens_in: int
    tokens_out: int


def most(question: Question, config: LabelConfig) -> int:
    """Return an upper bound of a question's cost in nano-dollars.

    A token is at least one byte, so the bytes of the text bound its tokens.
    """
    tokens_in = question.text_bytes + OVERHEAD_TOKENS + question.images * config.image_tokens
    return price(Usage(tokens_in, config.max_output_tokens), config)


def price(usage: Usage, config: LabelConfig) -> int:
    """Return the cost of a call in nano-dollars, rounded up."""
    # USD per million tokens are micro-dollars per token.
    cost_in = (usage.tokens_in or 0) * config.usd_per_million_input
    cost_out = (usage.tokens_out or 0) * config.usd_per_million_output
    return math.ceil((cost_in + cost_out) * NANO_PER_MICRO)


class Budget:
    """The ledger. Safe for any number of threads and workers."""

    def __init__(self, engine: Engine, cap_usd: float) -> None:
        """Keep each UTC day at or below `cap_usd`."""
        self._engine = engine
        self._cap = math.floor(cap_usd * NANO)

    def reserve(self, look_id: str, nano_usd: int, now: float) -> Reservation | None:
        """Set money aside; None when it does not fit below the cap.

        Raises:
            UnavailableError: the database does not answer.
        """
        day = utc_day(now)
        columns = spend_days.c
        with transaction(self._engine) as connection:
            first = {"day": day, "held": 0, "spent": 0}
            connection.execute(insert_new(connection, spend_days), [first])
            # One statement compares and adds, so that racing calls cannot both fit.
            taken = connection.execute(
                sa.update(spend_days)
                .where(columns.day == day, columns.held + columns.spent + nano_usd <= self._cap)
                .values(held=columns.held + nano_usd)
            )
            if taken.rowcount != 1:
                return None
            row = connection.execute(
                sa.insert(spend)
                .values(
                    day=day, look_id=look_id, at=now, reserved=nano_usd, tokens_in=0, tokens_out=0
                )
                .returning(spend.c.id)
            )
            return Reservation(row.scalar_one(), day, nano_usd)

    def settle(self, reservation: Reservation, nano_usd: int, usage: Usage) -> None:
        """Replace a reservation by the cost; a second settlement changes nothing.

        Raises:
            UnavailableError: the database does not answer; the reservation stands.
        """
        with transaction(self._engine) as connection:
            done = connection.execute(
                sa.update(spend)
                .where(spend.c.id == reservation.id, spend.c.cost.is_(None))
                .values(
                    cost=nano_usd,
                    tokens_in=usage.tokens_in or 0,
                    tokens_out=usage.tokens_out or 0,
                )
            )
            if done.rowcount == 1:
                connection.execute(
                    sa.update(spend_days)
                    .where(spend_days.c.day == reservation.day)
                    .values(
                        held=spend_days.c.held - reservation.nano_usd,
                        spent=spend_days.c.spent + nano_usd,
                    )
                )

    def spent(self, day: str | None = None) -> Spent:
        """Sum up one UTC day (`YYYY-MM-DD`), or all of them.

        Raises:
            UnavailableError: the database does not answer.
        """
        cost = sa.func.coalesce(spend.c.cost, spend.c.reserved)
        sums = [sa.func.sum(c) for c in (cost, spend.c.tokens_in, spend.c.tokens_out)]
        query = sa.select(sa.func.count(), *sums).select_from(spend)
        if day is not None:
            query = query.where(spend.c.day == day)
        with transaction(reading(self._engine)) as connection:
            calls, nano, tokens_in, tokens_out = connection.execute(query).one()
        usd = int(nano or 0) / NANO
        return Spent(usd, int(calls), int(tokens_in or 0), int(tokens_out or 0))

    def paid(self, since: float) -> Paid:
        """Sum up what looks cost since a unix time, all the calls that each took.

        Raises:
            UnavailableError: the database does not answer.
        """
        cost = sa.func.coalesce(spend.c.cost, spend.c.reserved)
        # By the day as well: it is what the table is indexed by.
        query = sa.select(sa.func.sum(cost), sa.func.count(spend.c.look_id.distinct())).where(
            spend.c.day >= utc_day(since), spend.c.at >= since
        )
        with transaction(reading(self._engine)) as connection:
            nano, asked = connection.execute(query).one()
        return Paid(int(nano or 0) / NANO, int(asked))


def utc_day(now: float) -> str:
    """Return the UTC day of a unix time, `YYYY-MM-DD`."""
    return datetime.fromtimestamp(now, timezone.utc).strftime("%Y-%m-%d")
