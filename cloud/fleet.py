"""Fleet config: what a device is wanted to do, and what it says it does. Shell."""

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from agent.base.clock import Clock
from agent.base.toml import parse_value
from agent.contract.config import Limits, Settings, changed_settings
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.ids import is_device_id
from agent.contract.messages import DesiredBody, Reported, from_json
from agent.contract.topics import Topics
from cloud.bus import Bus
from cloud.config import CloudConfig
from cloud.database import open_database, reading, transaction
from cloud.keys import load_signer
from cloud.orders import Order, Orders
from cloud.schema import devices

EXPIRES_S: Final = 365 * 86_400.0
CONNECT_S: Final = 10.0
ANSWER_S: Final = 10.0
WIDEST: Final = Limits(
    looks_per_day=1_000_000,
    bytes_per_day=10_000_000_000,
    context="frame",
    min_threshold=0.0,
    max_threshold=1.0,
)
"""Checks form and range alone: each device then applies its own, narrower limits."""
_WORD: Final = re.compile(r"[A-Za-z][\w.-]*")


@dataclass(frozen=True, slots=True)
class Twin:
    """One device: what is wanted and what it reports."""

    device: str
    online: bool
    last_seen: float
    desired: dict[str, Any]
    desired_seq: int
    reported: Reported | None

    @property
    def applied(self) -> bool:
        """True when the device runs what is wanted, value by value."""
        return (
            self.reported is not None
            and self.reported.config_seq >= self.desired_seq
            and not self.cut
        )

    @property
    def cut(self) -> dict[str, tuple[Any, Any]]:
        """Wanted and real value of what the device took and holds within its own limits."""
        if self.reported is None or self.reported.config_seq < self.desired_seq:
            return {}
        runs = self.reported.config
        return {k: (v, runs[k]) for k, v in self.desired.items() if k in runs and runs[k] != v}


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """Parse `key=value` arguments; values are TOML scalars, bare words are text.

    Raises:
        BadContentError: names the argument that cannot be read.
    """
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise BadContentError(f"{pair!r}: write key=value")
        if key in changes:
            raise BadContentError(f"{key}: given twice")
        changes[key] = _scalar(key, text.strip())
    return changes


def set_desired(
    config: CloudConfig, device: str, changes: dict[str, Any], clock: Clock, *, replace: bool
) -> Order:
    """Validate, sign, store and publish fleet config for one device.

    Args:
        config: Where database, keys and broker are.
        device: Its id.
        changes: Settings by key.
        clock: Time of issue.
        replace: True: `changes` are all that is wanted; False: what was wanted before stays.

    Raises:
        BadContentError: unknown key, value out of range, no device id, or no keys configured.
        UnavailableError: database or broker; once stored, a running worker publishes it.
    """
    if not is_device_id(device):
        raise BadContentError(f"device id {device!r}: use a-z, 0-9 and '-', at most 63")
    if not config.keys.dir:
        raise BadContentError("[keys] dir: not set; `secondlook-cloud keys init DIR` makes them")
    signer = load_signer(Path(config.keys.dir))
    engine = open_database(config.database)

    def wanted(before: dict[str, Any]) -> DesiredBody:
        kept = {} if replace else before.get("settings", {})
        settings = {**kept, **changes}
        changed_settings(Settings(), settings, WIDEST)
        return DesiredBody(settings=settings)

    try:
        now = clock.now()
        order = Orders(engine).issue(device, "desired", wanted, signer, now, now + EXPIRES_S)
    finally:
        engine.dispose()
    try:
        _publish(config, order)
    except UnavailableError as error:
        raise UnavailableError(
            f"{error}; stored as sequence {order.seq}: a running worker sends it when the broker"
            " is back"
        ) from error
    return order


def twins(engine: Engine, device: str = "") -> list[Twin]:
    """Return all devices that were ever heard or told something, or one.

    Raises:
        UnavailableError: the database does not answer.
    """
    wanted = {order.device: order for order in Orders(engine).all("desired", device)}
    query = sa.select(devices)
    if device:
        query = query.where(devices.c.device == device)
    with transaction(reading(engine)) as connection:
        heard = {row.device: row for row in connection.execute(query)}
    found = []
    for name in sorted({*wanted, *heard}):
        row, order = heard.get(name), wanted.get(name)
        text = row.reported if row else ""
        found.append(
            Twin(
                device=name,
                online=bool(row and row.online),
                last_seen=row.last_seen if row else 0.0,
                desired=_wanted([order] if order else []),
                desired_seq=order.seq if order else 0,
                reported=from_json(Reported, text.encode()) if text else None,
            )
        )
    return found


def _publish(config: CloudConfig, order: Order) -> None:
    topic = Topics(config.broker.prefix).of(order.device, "desired")
    bus = Bus(config.broker, f"secondlook-fleet-{secrets.token_hex(6)}", session_s=0)
    bus.start()
    try:
        bus.wait(CONNECT_S)
        bus.publish_now(topic, order.envelope, ANSWER_S)
    finally:
        bus.stop()


def _wanted(orders: list[Order]) -> dict[str, Any]:
    return dict(orders[0].body.get("settings", {})) if orders else {}


def _scalar(key: str, text: str) -> bool | int | float | str:
    try:
        value = parse_value(text)
    except BadContentError as error:
        if _WORD.fullmatch(text):
            return text
        raise BadContentError(f"{key}={text}: not a TOML value; quote text as 'text'") from error
    if not isinstance(value, bool | int | float | str):
        raise BadContentError(f"{key}={text}: use a number, true, false or text")
    return value


def as_json(found: list[Twin]) -> str:
    """Return twins as indented JSON."""
    return json.dumps(
        [
            {
                "device": t.device,
                "online": t.online,
                "last_seen": t.last_seen,
                "desired": t.desired,
                "desired_seq": t.desired_seq,
                "applied": t.applied,
                "cut": {key: {"wanted": a, "runs": b} for key, (a, b) in t.cut.items()},
                "reported": t.reported.model_dump(mode="json") if t.reported else None,
            }
            for t in found
        ],
        indent=2,
        ensure_ascii=False,
    )
