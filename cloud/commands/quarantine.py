"""`secondlook-cloud quarantine`: what was set aside, and what becomes of it. Shell."""
# ruff: noqa: PLC0415 - a help page loads no framework

import json as json_
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agent.contract.errors import BadContentError
from cloud.options import AsJson, Config, StateDir, load_config

if TYPE_CHECKING:
    from cloud.config import CloudConfig
    from cloud.quarantine import Kept, Quarantine
    from cloud.replay import Fate

PAGE: Final = 512
TELL: Final = 20
"""So many messages that stay are named one by one."""
MEANS: Final[dict["Fate", str]] = {
    "stored": "stored as looks, and asked about like any other",
    "known": "were stored already, forgotten here",
    "past": "readable, but of no use any more, forgotten here",
    "bad": "still bad",
    "cut": "cut short when they were set aside: nothing can be replayed",
}
Numbers = Annotated[list[int] | None, typer.Argument(metavar="[NUMBER...]")]
Device = Annotated[str, typer.Option(help="Only messages of this device.")]
All = Annotated[bool, typer.Option("--all", help="All that is set aside.")]

quarantine_app = typer.Typer(
    help="Messages that could not be stored: what they are, and trying them again.",
    no_args_is_help=True,
)


@quarantine_app.command("list")
def list_kept(
    device: Device = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Newest so many.")] = 50,
    config: Config = None,
    state_dir: StateDir = None,
    json: AsJson = False,
) -> None:
    """Show what was set aside, newest first."""
    with _opened(load_config(config, state_dir)) as found:
        kept, total = found.newest(device, limit), found.count(device)
    if json:
        typer.echo(json_.dumps([_values(item) for item in kept]))
    elif not kept:
        typer.echo("nothing is set aside" + (f" of {device}" if device else ""))
    else:
        _print_table(kept, total)


@quarantine_app.command()
def show(
    number: Annotated[int, typer.Argument(metavar="NUMBER")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was kept of it.")
    ] = None,
    config: Config = None,
    state_dir: StateDir = None,
    json: AsJson = False,
) -> None:
    """Show one message."""
    from cloud.blobs import Blobs

    loaded = load_config(config, state_dir)
    with _opened(loaded) as found:
        (kept,) = _named(found, [number])
    if out:
        out.write_bytes(Blobs(loaded.objects).read(kept.place))
    values = _values(kept)
    if json:
        typer.echo(json_.dumps(values))
        return
    for name, value in {**values, "received": _when(kept)}.items():
        typer.echo(f"{name.replace('_', ' '):12} {value}")


@quarantine_app.command()
def replay(
    numbers: Numbers = None,
    all_: All = False,
    device: Device = "",
    config: Config = None,
    state_dir: StateDir = None,
    json: AsJson = False,
) -> None:
    """Try messages again, as after an upgrade: what is good now is stored, once."""
    loaded = load_config(config, state_dir)
    with _opened(loaded) as found:
        fates = _replayed(loaded, found, _chosen(found, numbers, device, all_=all_))
    if json:
        rows = [{"number": k.number, "fate": fate, "why": why} for k, fate, why in fates]
        typer.echo(json_.dumps(rows))
    else:
        _print_fates(fates)


@quarantine_app.command()
def discard(
    numbers: Numbers = None,
    all_: All = False,
    device: Device = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = None,
    state_dir: StateDir = None,
) -> None:
    """Forget messages for good."""
    with _opened(load_config(config, state_dir)) as found:
        chosen = [
            kept.number for page in _chosen(found, numbers, device, all_=all_) for kept in page
        ]
        if chosen and not yes:
            typer.confirm(f"forget {len(chosen)} messages for good?", abort=True)
        for at in range(0, len(chosen), PAGE):
            found.settle([], chosen[at : at + PAGE], {})
    typer.echo(f"{len(chosen)} forgotten")


@contextmanager
def _opened(config: "CloudConfig") -> Iterator["Quarantine"]:
    from cloud.database import open_database
    from cloud.quarantine import Quarantine

    engine = open_database(config.database, create=False)
    try:
        yield Quarantine(engine)
    finally:
        engine.dispose()


def _chosen(
    found: "Quarantine", numbers: list[int] | None, device: str, *, all_: bool
) -> Iterator[list["Kept"]]:
    """Yield the messages that are meant, in pages."""
    if sum((bool(numbers), bool(device), all_)) != 1:
        raise typer.BadParameter("give numbers, or --device, or --all")
    if numbers:
        yield _named(found, numbers)
        return
    last = 0
    while page := found.after(last, device, PAGE):
        last = page[-1].number
        yield page


def _named(found: "Quarantine", numbers: list[int]) -> list["Kept"]:
    kept = found.of_numbers(set(numbers))
    missing = sorted(set(numbers) - {item.number for item in kept})
    if missing:
        raise BadContentError(
            f"quarantine: no message {missing[0]} is set aside; `quarantine list` shows them"
        )
    return kept


def _replayed(
    config: "CloudConfig", found: "Quarantine", pages: Iterator[list["Kept"]]
) -> list[tuple["Kept", "Fate", str]]:
    from agent.base.clock import SystemClock
    from agent.contract.topics import Topics
    from cloud.blobs import Blobs
    from cloud.lock import lock
    from cloud.replay import Replay
    from cloud.store import Store

    # No worker can have this name: workers clear away shards of their own that have no rows yet.
    name = f"{config.name}_replay"
    fates = []
    with lock(Path(config.state_dir), name, "a replay runs here already; wait for its end"):
        store, blobs = Store(found.engine), Blobs(config.objects)
        tried = Replay(
            Topics(config.broker.prefix), store, blobs, config.ingest.retention, name,
            SystemClock(),
        )  # fmt: skip
        tried.clear_orphans()
        for page in pages:
            fates += tried.run(page)
    return fates


def _print_table(kept: list["Kept"], total: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "received", "device", "channel", "bytes", "reason", box=None)
    for item in kept:
        channel = item.topic.rpartition("/")[2]
        # Whatever came over the network is text here, no markup.
        cells = (str(item.number), _when(item), item.device or "-", channel[:12], str(item.size))
        table.add_row(*(_plain(cell) for cell in (*cells, item.reason)))
    console = Console()
    console.print(table)
    if len(kept) < total:
        console.print(f"{len(kept)} of {total}; --limit shows more")


def _plain(text: str) -> Any:  # noqa: ANN401 - Rich is not loaded yet
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "?" for c in text))


def _print_fates(fates: list[tuple["Kept", "Fate", str]]) -> None:
    if not fates:
        typer.echo("nothing is set aside")
    counts = Counter(fate for _, fate, _ in fates)
    for fate, means in MEANS.items():
        if counts[fate]:
            typer.echo(f"{counts[fate]:6} {means}")
    stay = [(kept, why) for kept, fate, why in fates if fate in ("bad", "cut")]
    for kept, why in stay[:TELL]:
        typer.echo(f"       {kept.number}: {_plain(why)}")
    if len(stay) > TELL:
        typer.echo(f"       and {len(stay) - TELL} more; `quarantine list` shows them")


def _values(kept: "Kept") -> dict[str, Any]:
    return {
        "number": kept.number, "device": kept.device, "topic": kept.topic,
        "look_id": kept.look_id, "reason": kept.reason, "received": kept.received_at,
        "size": kept.size, "kept": kept.place.length, "shard": kept.place.shard,
    }  # fmt: skip


def _when(kept: "Kept") -> str:
    return datetime.fromtimestamp(kept.received_at, timezone.utc).strftime("%Y-%m-%d %H:%M")
