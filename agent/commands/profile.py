"""`secondlook profile`: what the shipped profiles are, and what one holds. Shell."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.commands.words import size
from agent.contract.errors import BadContentError
from agent.contract.messages import NONE_OF_THESE
from agent.contract.profile import Profile
from agent.vision.engine import read_model
from agent.vision.shipped import load_profile, shipped_model, shipped_profiles


def list_profiles() -> None:
    """Print a line a shipped profile.

    Raises:
        BadContentError, UnavailableError: one of them is damaged.
    """
    table = _grid()
    for name in shipped_profiles():
        profile = load_profile(name)
        classes = f"{len(profile.classes)} classes"
        title = f"{profile.title} (research only)" if profile.research_only else profile.title
        table.add_row(Text(name, "bold"), Text(title), classes, profile.model or "no model")
    Console().print(table)


def check(name_or_path: str) -> None:
    """Print what a profile holds.

    Raises:
        BadContentError: it is no profile, or the model it ships is made for other classes.
        UnavailableError: a file cannot be read.
    """
    profile = load_profile(name_or_path)
    table = _grid()
    for key, value in facts(profile):
        table.add_row(Text(key, "bold"), Text(value))
    console = Console()
    console.print(table)
    classes = _grid()
    for item in profile.classes:
        flips = f"mirror of {item.mirror}" if item.mirror else f"flips: {item.symmetry}"
        classes.add_row(Text(item.label, "bold"), Text(flips, "dim"), Text(item.description))
    console.print(classes)


def facts(profile: Profile) -> Iterator[tuple[str, str]]:
    """Yield what a profile says beside its classes, as names and texts."""
    yield "profile", f"{profile.name}: {profile.title}"
    if profile.notice:
        yield "notice", profile.notice
    propose, budget = profile.propose, profile.budget
    limits = "" if propose.kind in ("whole-frame", "zones") else f", at most {propose.max_regions}"
    yield "regions", f"{propose.kind}{limits}"
    yield "budget", f"{budget.looks_per_day} looks, {size(budget.bytes_per_day)} a day"
    yield "model", _model(profile)
    knobs = ", ".join(f"{k} {v}" for k, v in profile.recipe.items())
    yield "recipe", f"{knobs} (checked by `secondlook-cloud train`)" if knobs else "the defaults"
    yield "classes", str(len(profile.classes))


def _model(profile: Profile) -> str:
    if not profile.model:
        return "none is shipped: the device's file names one under [model] file"
    model = read_model(shipped_model(profile.model))
    labels = tuple(label for label in model.labels if label != NONE_OF_THESE)
    if labels != profile.labels:
        odd = next(iter(sorted(set(labels) ^ set(profile.labels))), "in another order")
        raise BadContentError(
            f"profile {profile.name!r}: {profile.model} has other classes ({odd}); train it anew"
        )
    return f"{profile.model}, {size(len(model.data))}"


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column(overflow="fold")
    return table
