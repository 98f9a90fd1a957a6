"""`secondlook watch`: what the cameras see and what was asked, live in a terminal. Shell.

Reads only the state folder, so it shows the last state of a dead daemon as well.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.alive import Alive, read_alive
from agent.commands.advice import Advice, saved_advice
from agent.commands.advice import line_of as advice_line
from agent.commands.place import Place, find_place
from agent.commands.spool import count
from agent.commands.spool import line_of as spool_line
from agent.commands.words import CAMERA_STYLES, STATE_STYLES, age, camera_line, clock_time
from agent.notebook import Note, read_notebook
from agent.spool_files import WaitingLook, read_spool

PERIOD_S: Final = 1.0
SETTLED: Final = 5
AROUND: Final = 12 + SETTLED
"""Lines of the screen that are not the newest sightings."""
MIN_ROWS: Final = 4
ONCE_ROWS: Final = 15


@dataclass(frozen=True, slots=True)
class View:
    """All that is on the screen at one time."""

    place: Place
    now: float
    alive: Alive | None
    """The last sign of life, however old."""
    fps: float
    """Frames a second lately."""
    notes: Sequence[Note]
    settled: Sequence[Note]
    """Answered ones that are no longer among the newest."""
    items: Sequence[WaitingLook]
    advice: Advice | None
    orders: dict[str, Any]
    """Settings that the fleet has set, by key."""


def watch(config_path: Path | None, state_dir: Path | None, once: bool) -> int:
    """Show the device's state until interrupted; once where the output is no terminal.

    Raises:
        BadContentError, UnavailableError: config or state folder are not readable.
    """
    place = find_place(config_path, state_dir)
    console = Console()
    view = look(place, ONCE_ROWS, None)
    if once or not console.is_terminal:
        console.print(page_of(view))
        return 0
    try:
        with Live(page_of(view), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(PERIOD_S)
                rows = max(MIN_ROWS, console.height - AROUND - _cameras(view))
                view = look(place, rows, view)
                live.update(page_of(view), refresh=True)
    except KeyboardInterrupt:
        return 0


def look(place: Place, rows: int, before: View | None) -> View:
    """Read the state folder.

    Args:
        place: The folder.
        rows: Most sightings.
        before: The view a moment ago, which the frame rate is reckoned from.

    Raises:
        BadContentError, UnavailableError: the folder is not readable.
    """
    memory = read_notebook(place.state, rows, rows + SETTLED)
    shown = {note.sighting_id for note in memory.latest}
    scrolled = [note for note in memory.settled if note.sighting_id not in shown]
    alive = read_alive(place.state)
    orders = memory.facts.get("desired_body") or {}
    return View(
        place=place,
        now=time.time(),
        alive=alive,
        fps=_fps(alive, before),
        notes=memory.latest,
        settled=scrolled[:SETTLED],
        items=read_spool(place.spool),
        advice=saved_advice(memory.facts),
        orders=orders.get("settings", {}),
    )


def _fps(alive: Alive | None, before: View | None) -> float:
    if alive is None:
        return 0.0
    then = before.alive if before else None
    if before is None or then is None or then.pid != alive.pid:
        return alive.telemetry.fps
    seconds = alive.at - then.at
    if seconds <= 0:  # the same sign of life as a moment ago
        return before.fps
    return (alive.telemetry.frames - then.telemetry.frames) / seconds


def _cameras(view: View) -> int:
    return len(view.alive.status.cameras) if view.alive else 0


def page_of(view: View) -> RenderableType:
    """Return the whole screen."""
    parts: list[RenderableType] = [_head(view), Text(), _sightings("seen", view.notes, view.now)]
    if view.settled:
        parts += [Text(), _sightings("answered", view.settled, view.now)]
    return Group(*parts, Text(), _foot(view))


def _head(view: View) -> Table:
    alive, now = view.alive, view.now
    running = alive is not None and alive.runs(now)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("secondlook", _daemon_text(view, running=running))
    if alive and running:
        for report in alive.status.cameras:
            style = CAMERA_STYLES.get(report.state, "red")
            table.add_row(report.camera, Text(camera_line(report, now), style))
        link = Text(alive.broker, "red") if alive.broker else Text("connected", "green")
        table.add_row("broker", link)
        for problem in alive.status.problems:
            table.add_row("problem", Text(problem, "yellow"))
    return table


def _daemon_text(view: View, *, running: bool) -> Text:
    alive = view.alive
    name = alive.status.device if alive else view.place.config.device if view.place.config else ""
    if alive is None or not running:
        heard = f", last heard of {age(view.now - alive.at)} ago" if alive else ""
        return Text.assemble(name + " " if name else "", (f"not running{heard}", "bold red"))
    figures = alive.telemetry
    return Text.assemble(
        (name, "bold"),
        (" running ", "green"),
        f"for {age(figures.uptime_s)}, {view.fps:.1f} frames/s, {figures.invoke_ms:.1f} ms a frame",
    )


def _sightings(title: str, notes: Sequence[Note], now: float) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column(title, no_wrap=True, min_width=11)
    table.add_column("camera", no_wrap=True, max_width=12)
    table.add_column("label", no_wrap=True, ratio=3)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("was", no_wrap=True, ratio=2, style="dim")
    for note in notes:
        table.add_row(
            clock_time(note.last_seen, now),
            note.camera,
            Text(note.label or "nothing known", "" if note.label else "dim"),
            f"{note.score:.2f}",
            Text(note.state, STATE_STYLES[note.state]),
            Text((note.was or "nothing known") if note.state == "revised" else ""),
        )
    if not notes:
        table.add_row("", "", Text("no sighting yet", "dim"), "", "", "")
    return table


def _foot(view: View) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    waiting = count(view.items, view.now)
    table.add_row("spool", Text(spool_line(waiting, view.place.config)))
    if view.alive:
        table.add_row("looks", Text(_looks(view.alive, view.now)))
    table.add_row("advice", Text(advice_line(view.advice, view.now)))
    wanted = ", ".join(view.advice.body.wanted[:3]) if view.advice else ""
    if view.advice and view.advice.in_force(view.now) and wanted:
        table.add_row("", Text(f"wanted: {wanted}"))
    orders = " ".join(f"{key}={value}" for key, value in view.orders.items())
    table.add_row("orders", Text(orders or "none: the local file's settings"))
    refused = view.alive.reported.refused if view.alive else ()
    if refused:
        last = refused[-1]
        table.add_row("refused", Text(f"{last.channel}: {last.reason}", "yellow"))
    return table


def _looks(alive: Alive, now: float) -> str:
    newest = f", the newest {age(now - alive.receipted_at)} ago" if alive.receipted_at else ""
    return (
        f"{alive.looks} accepted, {alive.receipts} receipted{newest},"
        f" {alive.verdicts} verdicts since the start"
    )
