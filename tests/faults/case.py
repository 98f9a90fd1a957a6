"""One row of the fault catalogue: its seed, its size, its figures, one JSON line.

A test of the catalogue is marked `@pytest.mark.fault(number)`, with `cheap=True` where its short
form runs in `make test` too, and takes the fixture `case`. Its figures go to `case.record`; the
line is printed at the end of the run, whether the test passed or not.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any, Literal

Form = Literal["cheap", "short", "long"]


@dataclass
class Case:
    """What one test knows of its run, and what it says of it."""

    test: str
    """Number in the catalogue and name, e.g. `1 agent-kills`."""
    seed: int
    form: Form
    n: int = 0
    """Faults injected or inputs tried."""
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def rng(self) -> random.Random:
        """Randomness of this test alone; the same for the same seed."""
        return random.Random(f"{self.seed} {self.test}")

    def size(self, short: int, long: int) -> int:
        """Return how many faults this form of the run injects."""
        return long if self.form == "long" else short

    def record(self, n: int | None = None, **figures: Any) -> None:
        """Note figures for the line; call it before asserting, so that failures show them too."""
        self.n = self.n if n is None else n
        self.figures.update(figures)

    def line(self, *, passed: bool) -> str:
        """Return the row as one line of JSON."""
        row = {
            "test": self.test,
            "seed": self.seed,
            "n": self.n,
            "figures": self.figures,
            "pass": passed,
        }
        return json.dumps(row)
