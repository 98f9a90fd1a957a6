"""Draws up advice from the database, signs it and sends it to each device. Shell."""

import logging
from collections import Counter
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from securesystemslib.signer import Signer
from sqlalchemy.engine import Engine

from agent.base.clock import Clock
from agent.contract.config import Settings
from agent.contract.messages import AdviceBody, Grant, Reported, from_json
from agent.contract.topics import Topics
from cloud.advise import Judged, differs, draw_up
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import reading, transaction
from cloud.grant import granted, moved, share_out
from cloud.keys import load_signer
from cloud.label.budget import Budget
from cloud.orders import Order, Orders
from cloud.schema import devices, looks

log = logging.getLogger(__name__)

RENEW_SHARE: Final = 0.5
"""Advice is issued again when so much of its life is over."""
ACTIVE_S: Final = 3 * 86_400.0
"""A device that was heard so lately gets its share of the money."""
BY_CHANCE: Final = ("audit", "wanted")
PRICED_S: Final = 7 * 86_400.0
"""What a look costs is the mean of so long."""
GROWTH: Final = 1.1
"""New advice rests on so much more than the last: a fleet is not told of every single look."""


class Adviser:
    """Advice for all devices of a profile. `step` and `repeat` belong to one thread."""

    def __init__(
        self, bus: Bus, topics: Topics, engine: Engine, config: CloudConfig, clock: Clock
    ) -> None:
        """Read the config key, where one is configured.

        Raises:
            UnavailableError: the key is configured and cannot be read.
            BadContentError: it is no key.
        """
        self._bus = bus
        self._topics = topics
        self._reader = reading(engine)
        self._orders = Orders(engine)
        self._budget = Budget(engine, config.label.daily_cap_usd)
        self._config = config
        self._clock = clock
        folder = config.keys.dir
        self._signer: Signer | None = load_signer(Path(folder)) if folder else None
        self.problem = "" if folder else "no [keys] dir: advice is drawn up but not sent"
        self._connection = 0
        self._repeat_at = 0.0
        self._published: dict[tuple[str, str], int] = {}
        self.counters: Counter[str] = Counter()

    def repeat(self) -> None:
        """Publish what is in force: all of it after a connect, later only what is new.

        A broker may forget what it retained, and `fleet set` may have found it away. A device
        knows a message it has already applied, so repeating costs little.

        Raises:
            UnavailableError: the database does not answer.
        """
        if not self._bus.connected:
            return
        if self._bus.connections != self._connection:
            self._connection = self._bus.connections
            self._published.clear()
        elif self._clock.monotonic() < self._repeat_at:
            return
        self._repeat_at = self._clock.monotonic() + self._config.advice.period_s
        now = self._clock.now()
        for order in self._orders.all():
            known = self._published.get((order.device, order.channel), 0)
            if order.seq > known and order.expires > now:
                self._publish(order)

    def step(self) -> int:
        """Issue advice where it changed or ages; return how many devices were told.

        Raises:
            UnavailableError: the database does not answer.
        """
        told = 0
        signer = self._signer
        grant = self._grant() if signer and self._config.advice.grants else None
        for profile, names in self._devices().items() if signer else ():
            judged = judged_looks(self._reader, profile, self._config)
            drawn_up = draw_up(judged, self._config.advice)
            last = {o.device: o for o in self._orders.all("advice")}
            for device in names:
                order = last.get(device)
                before = AdviceBody.model_validate(order.body).grant if order else None
                body = granted(drawn_up, grant, before)
                if signer and body and self._is_news(body, order):
                    self._issue(device, body, signer)
                    told += 1
        return told

    def _issue(self, device: str, body: AdviceBody, signer: Signer) -> None:
        now = self._clock.now()
        expires = now + self._config.advice.expires_s
        order = self._orders.issue(device, "advice", lambda _: body, signer, now, expires)
        self.counters["advice_issued"] += 1
        log.info("advice_issued device=%s seq=%d looks=%d", device, order.seq, body.based_on)
        self._publish(order)

    def _is_news(self, body: AdviceBody, last: Order | None) -> bool:
        if last is None:
            return True
        now = self._clock.now()
        if now > last.issued + (last.expires - last.issued) * RENEW_SHARE:
            return True
        before = AdviceBody.model_validate(last.body)
        if moved(body.grant, before.grant):
            return True
        return body.based_on >= before.based_on * GROWTH and differs(body, before)

    def _grant(self) -> Grant | None:
        """Return what each device's looks may cost a day."""
        now = self._clock.now()
        active = sa.select(sa.func.count()).where(devices.c.last_seen >= now - ACTIVE_S)
        with transaction(self._reader) as connection:
            count = int(connection.execute(active).scalar_one())
        cap = self._config.label.daily_cap_usd
        return share_out(cap, count, self._budget.paid(now - PRICED_S))

    def _publish(self, order: Order) -> None:
        topic = self._topics.of(order.device, order.channel)
        if self._bus.publish(topic, order.envelope, retain=True):
            self._published[order.device, order.channel] = order.seq

    def _devices(self) -> dict[str, list[str]]:
        """Return device ids by the profile they report."""
        query = sa.select(devices.c.device, devices.c.reported).where(devices.c.reported != "")
        found: dict[str, list[str]] = {}
        with transaction(self._reader) as connection:
            for device, text in connection.execute(query.order_by(devices.c.device)):
                profile = from_json(Reported, text.encode()).profile
                found.setdefault(profile, []).append(device)
        return found


def judged_looks(reader: Engine, profile: str, config: CloudConfig) -> list[Judged]:
    """Return the newest answered looks of a profile.

    Raises:
        UnavailableError: the database does not answer.
    """
    query = (
        sa.select(
            looks.c.device_label, looks.c.margin, looks.c.label, looks.c.reason, looks.c.audited
        )
        .where(looks.c.profile == profile, looks.c.outcome.in_(("label", "none")))
        .order_by(looks.c.done_at.desc())
        .limit(config.advice.window)
    )
    with transaction(reader) as connection:
        rows = connection.execute(query).all()
    usual = Settings().threshold
    return [
        Judged(
            row.device_label, row.margin, row.label,
            row.audited or row.reason in BY_CHANCE or row.margin < usual,
        )
        for row in rows
    ]  # fmt: skip
