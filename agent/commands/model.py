"""`secondlook model show`: what a model file says about itself. Shell."""

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.commands.model_words import Contents, as_dict, rows_of
from agent.commands.quiet import quiet
from agent.commands.words import size
from agent.vision.engine import read_model
from agent.vision.runtime import Runtime
from agent.vision.shipped import find_model, shipped_models


def show(file: Path | None, labels: Path | None, as_json: bool) -> int:
    """Print a model file's contents; without one, which models are shipped.

    Args:
        file: A path, or the name of a shipped model.
        labels: Label file of a stock model; None: its own, or one beside it.
        as_json: Print JSON.

    Raises:
        BadContentError, UnavailableError: the file cannot be read, or cannot run here.
    """
    if file is None:
        return _list_shipped(as_json)
    shown = contents(find_model(file), labels)
    if as_json:
        typer.echo(json.dumps(as_dict(shown), indent=1, ensure_ascii=False))
    else:
        Console().print(table_of(shown))
    return 0


def contents(path: Path, labels: Path | None) -> Contents:
    """Read a model file and load it once.

    Raises:
        BadContentError, UnavailableError: it cannot be read, or cannot run here.
    """
    model = read_model(path, labels)
    with quiet():
        runtime = Runtime(model.data, model.source, "auto", threads=1)
    return Contents(model, runtime.input, runtime.outputs)


def table_of(shown: Contents) -> Table:
    """Return a model file as a table."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in rows_of(shown):
        table.add_row(title, Text(text))
    return table


def _list_shipped(as_json: bool) -> int:
    models = [(path, read_model(path)) for path in shipped_models()]
    if as_json:
        names = [{"name": path.name, "sha256": model.sha256} for path, model in models]
        typer.echo(json.dumps(names, indent=1))
        return 0
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("shipped model", "size", "labels", "profile", "sha256 begins"):
        table.add_column(title, justify="right" if title in ("size", "labels") else "left")
    for path, model in models:
        profile = model.manifest.profile if model.manifest else ""
        table.add_row(
            Text(path.name, "bold"), size(len(model.data)), str(len(model.labels)), profile,
            model.version,
        )  # fmt: skip
    Console().print(table, Text("\nMore: secondlook model show NAME", "dim"))
    return 0
