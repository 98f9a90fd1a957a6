"""Where a training run's results go, and how its progress is shown. Adapter."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from agent.contract.errors import BadContentError, UnavailableError
from cloud.train.checkpoint import STATE

PLAIN: Final[dict[str, Any]] = {"markup": False, "soft_wrap": True}
"""For lines with file names: brackets are theirs, and logs keep them whole."""


@contextmanager
def training_bar(
    console: Console, checkpoint: Path, epochs: int
) -> Iterator[Callable[[int, int, int], None]]:
    """Show a bar with the time that is left, and say so where a run goes on.

    Yields:
        What is told about every step: epoch (from 1), step (from 1) and steps in an epoch.
    """
    if (checkpoint / STATE).is_file():
        console.print(f"going on from {checkpoint}; remove it to start afresh", **PLAIN)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("training")

        def on_step(epoch: int, step: int, steps: int) -> None:
            done = (epoch - 1) * steps + step
            text = f"epoch {epoch}/{epochs}"
            progress.update(bar, description=text, completed=done, total=steps * epochs)

        yield on_step


def beside(out: Path, ending: str) -> Path:
    """Return a path in the same folder, named like the model file."""
    return out.with_name(out.stem + ending)


def need(*modules: str) -> None:
    """Fail before the data is read rather than after.

    Raises:
        UnavailableError: a module is not installed.
    """
    for name in modules:
        if find_spec(name) is None:
            raise UnavailableError(
                f"training needs {name}, which is not installed: pip install '.[train]'"
            )


def check_place(path: Path) -> None:
    """Fail before an hour of training rather than after.

    Raises:
        BadContentError: the name is not that of a model file.
        UnavailableError: nothing can be written there.
    """
    if path.suffix != ".tflite" or path.is_dir():
        raise BadContentError(f"{path}: a model file's name ends in .tflite; choose another")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; choose another output file") from error


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        UnavailableError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; choose another output file") from error
