"""`secondlook doctor`: why is this device silent? One line a part, with the remedy. Shell."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.alive import read_alive
from agent.base.clock import Clock
from agent.commands.checks import (
    check_agent,
    check_clock,
    check_config,
    check_disk,
    check_state,
    skipped,
)
from agent.commands.finding import Finding, failed
from agent.commands.link import check_link
from agent.commands.parts import check_cameras, check_model, check_trust
from agent.commands.place import may_look
from agent.contract.errors import UnavailableError

STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
NAMES: Final = (
    "clock", "disk", "state", "agent", "camera", "model", "trust", "broker", "receipt",
)  # fmt: skip
"""All checks after `config`, in order."""


def doctor(config_path: Path, as_json: bool, clock: Clock) -> int:
    """Check everything and print what was found.

    Returns:
        The exit code: 1 where a line says `fail`.
    """
    findings: list[Finding] = []
    console = Console()
    table = console.is_terminal and not as_json
    for finding in examine(config_path, clock):
        findings.append(finding)
        if table:
            console.print(row_of(finding))
        elif not as_json:
            typer.echo(line_of(finding))
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=1, ensure_ascii=False))
    elif table:
        console.print(verdict(findings))
    return int(any(f.grade == "fail" for f in findings))


def examine(config_path: Path, clock: Clock) -> Iterator[Finding]:
    """Make all checks, in the order in which things depend on one another."""
    finding, config = check_config(config_path)
    yield finding
    if config is None:
        yield from skipped(NAMES, "the config comes first")
        return
    state = Path(config.state_dir)
    try:
        may_look(state)
        alive = read_alive(state)
    except UnavailableError as error:
        # Nothing more: to log in beside an agent that may be running would throw it out.
        yield failed("state", error, f"sudo secondlook doctor --config {config_path}")
        yield from skipped([n for n in NAMES if n != "state"], "the state folder comes first")
        return
    yield check_clock(state, clock)
    yield check_disk(config)
    yield check_state(state, clock)
    yield check_agent(state, alive, clock)
    running = alive if alive and alive.runs(clock.now()) else None
    yield from check_cameras(config, running, clock)
    yield check_model(config)
    yield check_trust(config.trust)
    yield from check_link(config, running, clock)


def line_of(finding: Finding) -> str:
    """Return a finding as one line, for pipes and logs."""
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.grade:<4} {finding.name}: {finding.text}{remedy}"


def row_of(finding: Finding) -> Table:
    """Return a finding as a row for a terminal; the remedy stands below, ready to be copied."""
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=4)
    row.add_column(width=12, overflow="fold")
    row.add_column(overflow="fold")
    dull = "dim" if finding.grade == "skip" else ""
    row.add_row(
        Text(finding.grade, STYLES[finding.grade]), Text(finding.name, dull or "bold"),
        Text(finding.text, dull),
    )  # fmt: skip
    if finding.remedy and finding.grade != "ok":
        row.add_row("", "", Text(f"-> {finding.remedy}", "cyan"))
    return row


def verdict(findings: Sequence[Finding]) -> Text:
    """Return the last line: how it is altogether."""
    bad = [f.name for f in findings if f.grade == "fail"]
    if bad:
        return Text(f"\nTo mend: {', '.join(bad)}.", "bold red")
    doubtful = [f.name for f in findings if f.grade == "warn"]
    if doubtful:
        return Text(f"\nWorks. Worth a look: {', '.join(doubtful)}.", "yellow")
    return Text("\nAll well.", "bold green")
