"""`secondlook-cloud audit`: how often devices are wrong, told from those drawn by chance. Shell."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import Engine

from agent.contract.errors import BadContentError
from cloud.audit import LEAST_CHANCE, Drawn, Estimate, estimate, one_each
from cloud.config import CloudConfig
from cloud.database import open_database, reading, transaction
from cloud.measures import Interval
from cloud.schema import devices, looks

SHORT = 8
"""Digits of a model's version that are shown."""
WORDS = (
    "Error rate: of all sightings, those that the second look contradicts, told from the sightings"
    " drawn by chance alone. Of asked: the same of everything asked about, which says"
    " nothing about the rest."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One model, on one device or all of them."""

    model: str
    device: str
    """Empty: all."""
    estimate: Estimate
    asked: int
    """Settled looks of any reason: what the devices chose to ask about."""
    asked_wrong: int


def audit_lines(
    engine: Engine, since: float, device: str, labeller_error: float, *, by_device: bool
) -> list[Line]:
    """Return an estimate for each model that was audited, the newest looks first.

    Args:
        engine: A migrated database.
        since: Unix seconds of receipt from which looks count.
        device: One device; empty: all.
        labeller_error: Share of the second look's answers that may be wrong, 0..1.
        by_device: A line for each device besides.

    Raises:
        UnavailableError: the database does not answer.
    """
    where = [looks.c.received_at >= since]
    if device:
        where.append(looks.c.device == device)
    drawn, asked = one_each(_drawn(engine, where)), _asked(engine, where)
    lines = []
    for model in dict.fromkeys(item.model for item in drawn):
        of_model = [item for item in drawn if item.model == model]
        names = sorted({item.device for item in of_model}) if by_device else []
        for name in ("", *names):
            mine = [item for item in of_model if name in ("", item.device)]
            pairs = [n for key, n in asked.items() if key[0] == model and name in ("", key[1])]
            lines.append(
                Line(
                    model, name, estimate(mine, labeller_error),
                    sum(n for n, _ in pairs), sum(wrong for _, wrong in pairs),
                )
            )  # fmt: skip
    return lines


def show_audit(
    config: CloudConfig,
    console: Console,
    since: float,
    device: str = "",
    labeller_error: float = 0.0,
    *,
    by_device: bool = False,
    as_json: bool = False,
) -> None:
    """Print what the audit says; see `audit_lines`.

    Raises:
        BadContentError: there is no such device.
    """
    engine = open_database(config.database, create=False)
    try:
        if device and not _is_there(engine, devices, devices.c.device == device):
            raise BadContentError(f"{device}: no such device was heard; `fleet show` lists them")
        ever = _is_there(engine, looks, looks.c.audited)
        lines = audit_lines(engine, since, device, labeller_error, by_device=by_device)
    finally:
        engine.dispose()
    if as_json:
        console.print_json(json.dumps([asdict(line) for line in lines]))
    elif not lines:
        where = f" on {device}" if device else ""
        console.print(
            f"nothing that was drawn for the audit{where} came in that time: see --days" if ever
            else "nothing was drawn for the audit yet: see the setting audit_share"
        )  # fmt: skip
    else:
        console.print(_table(lines))
        _print_words(lines, console, labeller_error)


def _is_there(engine: Engine, table: sa.Table, where: sa.ColumnElement[bool]) -> bool:
    with transaction(reading(engine)) as connection:
        return connection.execute(sa.select(table).where(where).limit(1)).first() is not None


def _drawn(engine: Engine, where: Sequence[sa.ColumnElement[bool]]) -> list[Drawn]:
    c = looks.c
    query = (
        sa.select(
            c.sighting_id, c.device, c.model, c.audit_share, c.sighting_label, c.device_label,
            c.outcome, c.label,
        )
        .where(c.audited, c.audit_share >= LEAST_CHANCE, *where)
        .order_by(c.captured_at, c.look_id)
    )  # fmt: skip
    with transaction(reading(engine)) as connection:
        rows = connection.execute(query).all()
    return [
        Drawn(
            r.sighting_id, r.device, r.model, r.audit_share, r.sighting_label or r.device_label,
            r.outcome, r.label,
        )
        for r in rows
    ]  # fmt: skip


def _asked(
    engine: Engine, where: Sequence[sa.ColumnElement[bool]]
) -> dict[tuple[str, str], tuple[int, int]]:
    """Return settled looks and those contradicted, by model and device."""
    c = looks.c
    said = sa.func.coalesce(c.sighting_label, c.device_label, "")
    told = sa.case((c.outcome == "label", c.label), else_="")
    wrong = sa.func.sum(sa.case((said != told, 1), else_=0))
    query = (
        sa.select(c.model, c.device, sa.func.count(), wrong)
        .where(c.outcome.in_(("label", "none")), *where)
        .group_by(c.model, c.device)
    )
    with transaction(reading(engine)) as connection:
        return {(m, d): (int(n), int(bad)) for m, d, n, bad in connection.execute(query)}


def _table(lines: Sequence[Line]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("model")
    if any(line.device for line in lines):
        table.add_column("device", overflow="fold", max_width=16)
    for name in ("drawn", "open", "wrong", "error rate", "95 % interval", "of asked"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        found = line.estimate
        device = [line.device or "all"] if any(one.device for one in lines) else []
        table.add_row(
            line.model[:SHORT], *device, f"{found.drawn:,}", f"{found.unsettled:,}",
            f"{found.wrong:,}", "-" if found.rate is None else f"{found.rate:.1%}",
            _between(found.interval), f"{line.asked_wrong / line.asked:.1%}" if line.asked else "-",
        )  # fmt: skip
    return table


def _print_words(lines: Sequence[Line], console: Console, labeller_error: float) -> None:
    words = [WORDS]
    for line in lines:
        found, name = line.estimate, f"{line.model[:SHORT]} {line.device}".strip()
        if found.unsettled:
            words.append(
                f"{name}: {found.unsettled} of {found.drawn} are open and left out; all right or"
                f" all wrong, the rate were {_between(found.unsettled_bounds)}."
            )
        if labeller_error and found.rate is not None:
            words.append(
                f"{name}: if the second look errs in {labeller_error:.1%}, the true rate lies in"
                f" {_between(found.bounds)}."
            )
    for text in words:
        console.print(text, markup=False)


def _between(bounds: Interval) -> str:
    return f"{bounds.low:.1%} .. {bounds.high:.1%}"
