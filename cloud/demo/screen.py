"""What the demo shows: live progress, then the reckoning. Adapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typing_extensions import Self

from cloud.demo.recount import Figures

WIDTH: Final = 78


@dataclass(frozen=True, slots=True)
class Told:
    """One sighting that a second look settled."""

    label: str
    was: str
    state: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must have happened."""

    text: str
    passed: bool


class Screen:
    """Live on a terminal; a line now and then where there is none."""

    def __init__(self, console: Console, notes: Sequence[str]) -> None:
        """`notes` say what is real and what stands in."""
        self._console = console
        self._notes = notes
        self._live = Live(console=console, refresh_per_second=4, transient=False)
        self._last = ""

    def __enter__(self) -> Self:
        """Say what this is, and start."""
        self._console.print(
            Panel("\n".join(self._notes), title="secondlook demo", width=WIDTH, padding=(0, 1))
        )
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        if self._console.is_terminal:
            self._live.stop()

    def show(self, phase: str, figures: Figures, told: Sequence[Told]) -> None:
        """Show the figures of now."""
        if self._console.is_terminal:
            self._live.update(Group(_progress(phase, figures), _latest(told)))
            return
        line = (
            f"{phase}: {figures.seen} sightings, {figures.looks} looks,"
            f" {figures.labelled} answered, {figures.verdicts} verdicts applied,"
            f" {figures.revised} revised"
        )
        if line != self._last:
            self._console.print(line, soft_wrap=True)
            self._last = line

    def reckon(self, figures: Figures, checks: Sequence[Check], live: bool) -> None:
        """Show the end of it."""
        table = Table(width=WIDTH, show_header=False, title="What happened", title_justify="left")
        table.add_column()
        table.add_column(justify="right")
        for name, value in _rows(figures, live):
            table.add_row(name, value)
        self._console.print(table)
        for check in checks:
            mark = Text("ok  ", "green") if check.passed else Text("FAIL", "bold red")
            self._console.print(Text.assemble(mark, " ", check.text))


def _rows(figures: Figures, live: bool) -> list[tuple[str, str]]:
    cost = "spent" if live else "would have cost (nothing was spent)"
    return [
        ("sightings seen", str(figures.seen)),
        ("looks asked about", str(figures.looks)),
        ("answered", f"{figures.labelled}  {_outcomes(figures)}"),
        ("verdicts applied on the device", str(figures.verdicts)),
        ("sightings confirmed / revised", f"{figures.confirmed} / {figures.revised}"),
        ("advice accepted by the device", str(figures.advice)),
        ("right before / after the second look",
         f"{figures.accuracy_before:.1%} / {figures.accuracy:.1%}"),
        ("bytes per look p50 / p99",
         f"{figures.bytes_per_look_p50:,} / {figures.bytes_per_look_p99:,}"),
        (cost, f"${figures.cost_usd:.4f}"),
        ("lost / stored twice", f"{figures.lost} / {figures.duplicated}"),
    ]  # fmt: skip


def _outcomes(figures: Figures) -> str:
    return "(" + ", ".join(f"{n} {name}" for name, n in sorted(figures.outcomes.items())) + ")"


def _progress(phase: str, figures: Figures) -> Table:
    table = Table(width=WIDTH, title=phase, title_justify="left")
    for name in ("seen", "looks", "answered", "verdicts", "confirmed", "revised", "advice"):
        table.add_column(name, justify="right")
    table.add_row(
        *(
            str(n)
            for n in (
                figures.seen, figures.looks, figures.labelled, figures.verdicts,
                figures.confirmed, figures.revised, figures.advice,
            )
        )
    )  # fmt: skip
    return table


def _latest(told: Sequence[Told]) -> Table:
    table = Table(width=WIDTH, title="latest second looks", title_justify="left", show_header=False)
    table.add_column(width=10)
    table.add_column(ratio=1, no_wrap=True)
    for one in told:
        colour = "green" if one.state == "confirmed" else "yellow"
        text = one.label if one.state == "confirmed" else f"{one.was} -> {one.label}"
        table.add_row(Text(one.state, colour), text)
    return table
