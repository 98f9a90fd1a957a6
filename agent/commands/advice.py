"""`secondlook advice`: what the cloud asks of this device, and what of it counts. Shell."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.commands.place import find_place
from agent.commands.words import age
from agent.contract.config import Limits, held_threshold
from agent.contract.errors import BadContentError
from agent.contract.messages import AdviceBody, Grant, first_problem
from agent.notebook import read_notebook


@dataclass(frozen=True, slots=True)
class Advice:
    """Advice as saved on the device."""

    seq: int
    expires: float
    """Unix seconds."""
    body: AdviceBody

    def in_force(self, now: float) -> bool:
        """Tell whether it still counts at unix time `now`."""
        return now < self.expires


def advice(config_path: Path | None, state_dir: Path | None, as_json: bool, now: float) -> int:
    """Print the advice in force, or that there is none.

    Raises:
        BadContentError, UnavailableError: config or state folder are not readable.
    """
    place = find_place(config_path, state_dir)
    found = saved_advice(read_notebook(place.state).facts)
    limits = place.config.limits if place.config else None
    if as_json:
        typer.echo(json.dumps(as_dict(found, limits, now), indent=1, ensure_ascii=False))
    else:
        Console().print(page_of(found, limits, now))
    return 0


def saved_advice(facts: dict[str, Any]) -> Advice | None:
    """Return the advice that was accepted last; None where there was none.

    Raises:
        BadContentError: an older version saved something that is no advice any more.
    """
    body = facts.get("advice_body")
    if not body:
        return None
    try:
        known = AdviceBody.model_validate(body)
    except ValidationError as error:
        raise BadContentError(f"saved advice: {first_problem(error)}") from error
    return Advice(int(facts["advice_seq"]), float(facts["advice_expires"]), known)


def line_of(found: Advice | None, now: float) -> str:
    """Return in one line whether advice is in force, and how long."""
    if found is None:
        return "none: the cloud has advised nothing yet"
    if not found.in_force(now):
        return f"none: the last advice expired {age(now - found.expires)} ago"
    return f"in force for another {age(found.expires - now)}, from {found.body.based_on} labels"


def held(value: float, limits: Limits | None) -> float:
    """Return a threshold as it counts; as advised where the limits are not known."""
    return value if limits is None else held_threshold(value, limits)


def as_dict(found: Advice | None, limits: Limits | None, now: float) -> dict[str, Any]:
    """Return the advice as it stands in the JSON."""
    if found is None or not found.in_force(now):
        return {"in_force": False, "expired": found.expires if found else None}
    body = found.body
    return {
        "in_force": True,
        "seq": found.seq,
        "expires": found.expires,
        "based_on": body.based_on,
        "wanted": list(body.wanted),
        "confused": [
            {"device": said, "verdict": told, "count": n} for said, told, n in body.confused
        ],
        "thresholds": {
            label: {"advised": value, "in_force": held(value, limits)}
            for label, value in body.thresholds.items()
        },
        "grant": body.grant.model_dump() if body.grant else None,
        "limits_known": limits is not None,
    }


def page_of(found: Advice | None, limits: Limits | None, now: float) -> RenderableType:
    """Return the advice as tables."""
    if found is None or not found.in_force(now):
        return Text(f"advice  {line_of(found, now)}", "yellow")
    body = found.body
    parts: list[RenderableType] = [
        Text.assemble(("advice  ", "bold"), (line_of(found, now), "green"))
    ]
    if body.wanted:
        parts += [Text("\nWanted, worst first", "bold"), *(Text(label) for label in body.wanted)]
    if body.confused:
        parts += [Text("\nConfused", "bold"), _confused(body)]
    if body.thresholds:
        parts += [Text("\nAsked about below this margin", "bold"), _thresholds(body, limits)]
    if body.grant:
        parts.append(Text(f"\n{_money(body.grant, limits)}"))
    if limits is None:
        parts.append(Text("\nGive --config to see what the device's own limits allow.", "dim"))
    return Group(*parts)


def _money(grant: Grant, limits: Limits | None) -> str:
    most = limits.usd_per_day if limits else None
    usd = grant.usd_per_day if most is None else min(most, grant.usd_per_day)
    note = ", held by [limits] usd_per_day" if usd < grant.usd_per_day else ""
    return f"Money: ${usd:.4f} a day, for about {usd / grant.usd_per_look:,.0f} looks{note}"


def _confused(body: AdviceBody) -> Table:
    table = _table()
    table.add_column("device said", overflow="fold")
    table.add_column("second look says", overflow="fold")
    table.add_column("times", justify="right")
    for said, told, n in body.confused:
        table.add_row(Text(said), Text(told), str(n))
    return table


def _thresholds(body: AdviceBody, limits: Limits | None) -> Table:
    table = _table()
    table.add_column("class", overflow="fold")
    table.add_column("advised", justify="right")
    table.add_column("in force", justify="right")
    table.add_column("", style="yellow")
    for label, value in body.thresholds.items():
        counts = held(value, limits)
        name = "max_threshold" if counts < value else "min_threshold"
        note = "" if counts == value else f"held by [limits] {name}"
        table.add_row(Text(label), f"{value:.2f}", f"{counts:.2f}", Text(note))
    return table


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
