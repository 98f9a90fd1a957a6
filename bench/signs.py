"""What the benches of the classifier share: its model, the held-back signs, figures as text."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.contract.errors import SecondlookError
from agent.vision.engine import Engine, read_model
from agent.vision.types import Image
from bench.common import DATA
from cloud.annotations import Sample
from cloud.data import decode, read_folder
from cloud.evaluate import match_classes
from cloud.measures import Interval

DEVELOPMENT = Path(__file__).parent / "seeds" / "development.tflite"
"""Trained as the shipped model is, but without the `val` tracks: what is measured on them."""
GTSRB = DATA / "gtsrb"
Picture = tuple[Sample, Image]


@dataclass(frozen=True, slots=True)
class Signs:
    """A model and the signs that it is measured on."""

    engine: Engine
    labels: tuple[str, ...]
    """Classes of the data."""
    columns: tuple[int, ...]
    """Model output of each class of the data."""
    pictures: tuple[Picture, ...]

    def every(self, n: int) -> tuple[Picture, ...]:
        """Return each n-th frame of every track, the first of it included."""
        seen: Counter[tuple[int, str]] = Counter()
        chosen = []
        for sample, image in self.pictures:
            key = (sample.index, sample.track or "")
            if seen[key] % n == 0:
                chosen.append((sample, image))
            seen[key] += 1
        return tuple(chosen)

    @property
    def name(self) -> str:
        """The model file's name and version."""
        model = self.engine.model
        return f"{Path(model.source).name} {model.version}"


def read_signs(model: Path, data: Path, split: str) -> Signs:
    """Read a model and one split of a data folder.

    Raises:
        BadContentError: they are wrong or do not fit each other.
        UnavailableError: a file cannot be read.
    """
    engine = Engine(read_model(model))
    folder = read_folder(data)
    columns, _ = match_classes(folder.labels, engine.labels, str(model))
    samples = folder.of(split)
    pictures = tuple((s, i) for s, i in decode(folder, samples) if not isinstance(i, str))
    return Signs(engine, folder.labels, columns, pictures)


def run_bench(bench: Callable[[], None]) -> None:
    """Run a bench; what it needs and does not find is one line, not a traceback."""
    try:
        bench()
    except SecondlookError as error:
        sys.exit(f"not measured: {error}")


def share(value: float | None, interval: Interval | None = None) -> str:
    """Return a share in per cent, with its interval."""
    if value is None:
        return "-"
    bounds = f" [{interval.low:.1%}, {interval.high:.1%}]" if interval else ""
    return f"{value:.1%}{bounds}"


def area(value: float | None, interval: Interval | None = None) -> str:
    """Return an area under a ROC curve, with its interval."""
    if value is None:
        return "-"
    bounds = f" [{interval.low:.3f}, {interval.high:.3f}]" if interval else ""
    return f"{value:.4f}{bounds}"
