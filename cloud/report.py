"""The figures of a measured model file, as values, JSON and text. Pure."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

WIDTH: Final = 80
"""Columns that the text keeps to."""
MOST: Final = 5
"""Classes and confusions that the text names."""


@dataclass(frozen=True, slots=True)
class ClassReport:
    """Figures of one class."""

    n: int
    errors: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a model file does on a data folder."""

    accuracy: float
    """Share of images whose best class is the true one, 0..1."""
    accuracy_interval: tuple[float, float]
    """Its 95 % bootstrap interval ..."""
    interval_over: str
    """... over `tracks`, or `images` where an image has no track ..."""
    groups: int
    """... of which there are so many."""
    n: int
    """Images measured."""
    errors: int
    ece: float
    """Expected calibration error over 15 equal-mass bins, 0..1."""
    nll: float
    """Mean negative log likelihood of the true class, in nats."""
    uncertainty: str
    """The device's own, by which it asks for a second look; of it ..."""
    error_auroc: float | None
    """... how well it ranks errors above right answers, 0..1; None without errors."""
    errors_in_top_5: float | None
    """... and the share of errors among the 5 % least sure, 0..1; None without errors."""
    none_rate: float
    """Share answered "none of these", 0..1."""
    invoke_us: float
    """Median microseconds of a bare `invoke()` on this machine, one thread."""
    size_bytes: int
    """Of the model file."""
    sha256: str
    """Of the model file."""
    data_sha256: str
    """Of the annotation CSV."""
    split: str
    """Split measured; `all`: every image."""
    region: str
    """`roi`: annotated boxes (whole images where there is none); `whole`: whole images."""
    matched_by: str
    """`name`: classes are the model's labels; `index`: the n-th class is the n-th output."""
    corruption: str = ""
    """What every image was spoilt by, as `fog:3`; empty: nothing."""
    per_class: dict[str, ClassReport] = field(default_factory=dict)
    confused: tuple[tuple[str, str, int], ...] = ()
    """True class, model's class, how often; most frequent first, at most 20."""
    refused: tuple[str, ...] = ()
    """Images that could not be measured, and why."""
    notes: tuple[str, ...] = ()


def report_json(report: Report) -> str:
    """Return the report as indented JSON."""
    return json.dumps(asdict(report), indent=2, ensure_ascii=False)


def report_text(report: Report) -> str:
    """Return the report for people, at most 80 columns wide."""
    return "\n".join(line.rstrip() for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    low, high = report.accuracy_interval
    spoilt = f", spoilt by {report.corruption}" if report.corruption else ""
    yield (
        f"{report.n:,} images: split {report.split}, region {report.region}, classes by"
        f" {report.matched_by}{spoilt}"
    )
    yield ""
    yield _figure(
        "accuracy",
        f"{report.accuracy:.2%}",
        f"95 %: {low:.2%} to {high:.2%}, by {report.groups:,} {report.interval_over}",
    )
    yield _figure("errors", f"{report.errors:,}")
    yield _figure("ECE", f"{report.ece:.2%}", "gap between confidence and accuracy, 15 bins")
    yield _figure("NLL", f"{report.nll:.4f}", "nats an image")
    area = "-" if report.error_auroc is None else f"{report.error_auroc:.4f}"
    yield _figure("error AUROC", area, f"errors against right answers by {report.uncertainty}")
    caught = "-" if report.errors_in_top_5 is None else f"{report.errors_in_top_5:.1%}"
    yield _figure("caught at 5 %", caught, "of errors are among the 5 % least sure")
    yield _figure("none of these", f"{report.none_rate:.2%}", "of answers")
    yield _figure("invoke", f"{report.invoke_us:,.0f} us", "median, one thread, this machine")
    yield _figure("model file", f"{report.size_bytes:,} B", f"sha256 {report.sha256[:16]}")
    worst = sorted(
        (item for item in report.per_class.items() if item[1].errors),
        key=lambda item: (-item[1].errors / item[1].n, item[0]),
    )
    if worst:
        yield from ("", f"{'worst classes':50}{'errors':>8}{'of':>8}{'share':>8}")
        for label, found in worst[:MOST]:
            share = found.errors / found.n
            yield f"  {_short(label, 46):48}{found.errors:8,}{found.n:8,}{share:8.1%}"
    if report.confused:
        yield from ("", f"{'most frequent confusions: is':38}{'taken for':34}{'times':>8}")
        for truth, guess, times in report.confused[:MOST]:
            yield f"  {_short(truth, 34):36}{_short(guess, 32):34}{times:8,}"


def _figure(name: str, value: str, words: str = "") -> str:
    return f"{name:14}{value:>12}  {words}"


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 3] + "..."
