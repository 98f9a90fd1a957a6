"""`secondlook model pull`: public models by name, verified before they are used. Shell."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agent.base.clock import Clock
from agent.base.fetch import Patience, fetch
from agent.base.files import sync_folder, write_synced
from agent.commands.quiet import quiet
from agent.commands.words import size
from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.stock import STOCK, Source, StockModel
from agent.vision.engine import Engine, read_model


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be fetched, and how."""

    stock: StockModel
    folder: Path
    mirror: str = ""
    """Address of the model in place of the known one; the hash stays."""
    total_s: float = 600.0
    """For each file."""


def pull(order: Order, clock: Clock) -> int:
    """Fetch a stock model with its labels, try it once, and say how to use it.

    Raises:
        BadContentError: other bytes than expected, or another file in its place.
        UnavailableError: the address or the folder cannot be reached.
    """
    stock = order.stock
    console = Console(highlight=False, soft_wrap=True)
    path = order.folder / f"{stock.name}.tflite"
    labels = path.with_suffix(".labels.txt")
    source = replace(stock.model, url=order.mirror or stock.model.url)
    here = _is_here(path, source.sha256)
    patience = Patience(order.total_s)
    # Labels last: they are not left behind without a model. What a kill leaves out comes next time.
    if not here:
        with _bar(source, stock.name) as on_bytes:
            fetch(source, path, patience, clock, on_bytes)
    if not labels.exists():
        _fetch_labels(stock, labels, patience, clock)
    with quiet():
        engine = Engine(read_model(path, labels, source.sha256))
    engine.self_test()
    state = "here already" if here else "fetched"
    console.print(
        f"{path}\n{state}: {size(source.size)}, sha256 as expected, self-test passed",
        f"try it: secondlook classify photo.jpg --model {path}",
        sep="\n", markup=False,
    )  # fmt: skip
    return 0


def list_stock() -> int:
    """Print what can be fetched."""
    Console().print(page_of(STOCK))
    return 0


def page_of(models: tuple[StockModel, ...]) -> RenderableType:
    """Return the stock models as a table."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("what it does")
    for model in models:
        table.add_row(
            Text(model.name, "bold"), size(model.model.size), Text(f"{model.about} ({model.terms})")
        )
    return Group(table, Text("\nFetch one: secondlook model pull NAME", "dim"))


def _is_here(path: Path, digest: str) -> bool:
    """Tell whether the model lies there already.

    Raises:
        BadContentError: something else lies there.
    """
    try:
        found = sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; choose another folder") from error
    if found != digest:
        raise BadContentError(
            f"{path}: is there with sha256 {found}, expected {digest};"
            " remove it, or choose another folder with --to"
        )
    return True


def _fetch_labels(stock: StockModel, path: Path, patience: Patience, clock: Clock) -> None:
    if isinstance(stock.labels, Source):
        fetch(stock.labels, path, patience, clock, lambda _: None)
        return
    try:
        write_synced(path, "".join(f"{label}\n" for label in stock.labels).encode())
        sync_folder(path.parent)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; free or check the disk") from error


@contextmanager
def _bar(source: Source, name: str) -> Iterator[Callable[[int], None]]:
    """Show the download on a terminal; elsewhere show nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    progress = Progress(
        *columns, TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        task = progress.add_task(name, total=source.size)
        yield lambda count: progress.advance(task, count)
