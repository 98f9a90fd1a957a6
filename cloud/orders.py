"""Signed messages to devices: number taken and envelope stored first, then published. Adapter."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import BaseModel
from securesystemslib.signer import Signer
from sqlalchemy.engine import Engine

from agent.contract.envelope import Signed, sign
from agent.contract.ids import next_sequence
from cloud.database import reading, transaction
from cloud.schema import orders
from cloud.store import insert_new

OrderChannel = Literal["desired", "advice"]


@dataclass(frozen=True, slots=True)
class Order:
    """The newest signed message of one device and channel."""

    device: str
    channel: OrderChannel
    seq: int
    issued: float
    expires: float
    body: dict[str, Any]
    envelope: bytes


class Orders:
    """What each device was last told under signature."""

    def __init__(self, engine: Engine) -> None:
        """Use a migrated database."""
        self._engine = engine
        self._reader = reading(engine)

    def issue(
        self,
        device: str,
        channel: OrderChannel,
        make: Callable[[dict[str, Any]], BaseModel],
        signer: Signer,
        now: float,
        expires: float,
    ) -> Order:
        """Sign a body under the next number and store it; publishing is the caller's.

        Stored first, so that a crash cannot give the same number to two bodies.

        Args:
            device: Whom it is for.
            channel: Where it goes.
            make: Makes the body from the one before (empty: none); two commands at the same
                time come one after the other, so neither forgets what the other wanted.
            signer: The config key.
            now: Unix time of issue.
            expires: Unix time from which devices refuse it.

        Raises:
            BadContentError: `make` refuses; nothing was stored.
            UnavailableError: nothing was stored.
        """
        mine = (orders.c.device == device, orders.c.channel == channel)
        first = {
            "device": device, "channel": channel, "seq": 0, "issued": now, "expires": now,
            "body": "{}", "envelope": "",
        }  # fmt: skip
        with transaction(self._engine) as connection:
            connection.execute(insert_new(connection, orders), [first])
            query = sa.select(orders.c.seq, orders.c.body).where(*mine).with_for_update()
            last = connection.execute(query).one()
            body = make(json.loads(last.body))
            signed = Signed(
                seq=next_sequence(last.seq, now),
                audience=device,
                issued=now,
                expires=expires,
                body=body.model_dump(mode="json"),
            )
            envelope = sign(channel, signed, signer)
            values = {
                "seq": signed.seq,
                "issued": now,
                "expires": expires,
                "body": json.dumps(signed.body),
                "envelope": envelope.decode(),
            }
            connection.execute(sa.update(orders).where(*mine).values(**values))
        return Order(device, channel, signed.seq, now, expires, signed.body, envelope)

    def all(self, channel: OrderChannel | None = None, device: str = "") -> list[Order]:
        """Return the newest orders, of one channel or device where given.

        Raises:
            UnavailableError: the database does not answer.
        """
        query = sa.select(orders).order_by(orders.c.device, orders.c.channel)
        if channel:
            query = query.where(orders.c.channel == channel)
        if device:
            query = query.where(orders.c.device == device)
        with transaction(self._reader) as connection:
            rows = connection.execute(query).all()
        return [
            Order(
                r.device, r.channel, r.seq, r.issued, r.expires, json.loads(r.body),
                r.envelope.encode(),
            )
            for r in rows
        ]  # fmt: skip
