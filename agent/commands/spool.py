"""`secondlook spool`: the looks that wait for their receipt. Shell."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.alive import read_alive
from agent.commands.place import Place, find_place
from agent.commands.words import age, size
from agent.contract.config import DeviceConfig
from agent.spool_files import WaitingLook, read_look, read_spool


@dataclass(frozen=True, slots=True)
class Waiting:
    """The spool in figures."""

    looks: int
    bytes: int
    oldest_s: float | None
    """Age of the oldest look; None where none waits."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the waiting looks are."""

    by_reason: dict[str, int]
    by_camera: dict[str, int]
    by_attempts: dict[int, int]
    """Looks by how often they were sent without a receipt; empty while no agent runs."""


def spool(config_path: Path | None, state_dir: Path | None, as_json: bool, now: float) -> int:
    """Print what waits.

    Raises:
        BadContentError, UnavailableError: config or state folder are not readable.
    """
    place = find_place(config_path, state_dir)
    items = read_spool(place.spool)
    waiting, contents = count(items, now), contents_of(place, items, now)
    if as_json:
        typer.echo(json.dumps(as_dict(waiting, contents, place), indent=1))
    else:
        Console().print(table_of(waiting, contents, place))
    return 0


def count(items: Sequence[WaitingLook], now: float) -> Waiting:
    """Count waiting looks at unix time `now`."""
    oldest = min((i.since for i in items), default=None)
    return Waiting(
        looks=len(items),
        bytes=sum(i.bytes for i in items),
        oldest_s=None if oldest is None else max(0.0, now - oldest),
    )


def contents_of(place: Place, items: Sequence[WaitingLook], now: float) -> Contents:
    """Open the waiting looks and count what they are.

    Raises:
        UnavailableError: one cannot be read.
    """
    looks = [look for item in items if (look := read_look(place.spool, item))]
    alive = read_alive(place.state)
    attempts = alive.attempts if alive and alive.runs(now) else {}
    return Contents(
        by_reason=dict(Counter(x.meta.reason for x in looks).most_common()),
        by_camera=dict(Counter(x.meta.camera for x in looks).most_common()),
        by_attempts=dict(sorted(attempts.items())),
    )


def as_dict(waiting: Waiting, contents: Contents, place: Place) -> dict[str, Any]:
    """Return the figures as they stand in the JSON."""
    return {
        "looks": waiting.looks,
        "bytes": waiting.bytes,
        "max_bytes": place.config.spool.max_bytes if place.config else None,
        "oldest_s": None if waiting.oldest_s is None else round(waiting.oldest_s, 1),
        "by_reason": contents.by_reason,
        "by_camera": contents.by_camera,
        "by_attempts": {str(n): looks for n, looks in contents.by_attempts.items()},
    }


def line_of(waiting: Waiting, config: DeviceConfig | None) -> str:
    """Return the totals in one line, with the share of the bound where that is known."""
    if not waiting.looks:
        return "nothing waits: every accepted look has its receipt"
    share = ""
    if config:
        share = f" ({waiting.bytes / config.spool.max_bytes:.1%} of its bound)"
    plural = "look waits" if waiting.looks == 1 else "looks wait"
    oldest = age(waiting.oldest_s or 0.0)
    return f"{waiting.looks} {plural}, {size(waiting.bytes)}{share}, the oldest {oldest} old"


def table_of(waiting: Waiting, contents: Contents, place: Place) -> Table:
    """Return the figures as a table."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(
        "spool", Text(line_of(waiting, place.config), "yellow" if waiting.looks else "green")
    )
    rows = {
        "by reason": contents.by_reason,
        "by camera": contents.by_camera,
        "by attempts": {_times(n): looks for n, looks in contents.by_attempts.items()},
    }
    for name, counts in rows.items():
        if counts:
            table.add_row(name, Text(", ".join(f"{n} {k}" for k, n in counts.items())))
    return table


def _times(attempts: int) -> str:
    if not attempts:
        return "not sent yet"
    return "sent once" if attempts == 1 else f"sent {attempts} times"
