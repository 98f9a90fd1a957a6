"""The fault catalogue's fixtures: which tests run, and the lines they print."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.faults.case import Case
from tests.faults.forks import Forks, Nursery

CASE = pytest.StashKey[Case]()
LINES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in `make test`, what is not cheap; in a run of the catalogue, all other tests."""
    form = config.getoption("--faults")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("fault")
        cheap = marker is None or marker.kwargs.get("cheap", False)
        runs = cheap if form == "cheap" else marker is not None
        (kept if runs else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    """The row that this test fills in."""
    marker = request.node.get_closest_marker("fault")
    assert marker, "mark it: @pytest.mark.fault(number)"
    name = request.node.name.removeprefix("test_").replace("_", "-")
    config = request.config
    found = Case(
        f"{marker.args[0]} {name}", config.getoption("--faults-seed"), config.getoption("--faults")
    )
    request.node.stash[CASE] = found
    return found


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Agents and workers by fork; nothing is running yet."""
    with Forks("agent") as agents, Forks("cloud") as workers:
        yield Nursery(agents, workers)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the row of a test that has ended."""
    report = yield
    case = item.stash.get(CASE, None)
    if case and call.when == "call":
        lines = item.config.stash.setdefault(LINES, [])
        lines.append(case.line(passed=report.passed))
    return report


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one JSON line a row."""
    found: list[str] = terminalreporter.config.stash.get(LINES, [])
    for line in sorted(found):
        terminalreporter.write_line(line)
