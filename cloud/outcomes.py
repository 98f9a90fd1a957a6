"""What a model answered to images whose truth is known, and what follows from it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.vision.types import Prediction
from cloud.calibration import TINY, expected_calibration_error
from cloud.measures import Interval, auroc, bootstrap, share_caught

NONE: Final = -1
"""Truth and guess where it is none of the classes."""
SIGNALS: Final = ("1 - margin", "1 - probability", "entropy", "energy")
ASKED_BY: Final = SIGNALS[0]
"""What the device decides by whether to ask: see `agent/decide.py`."""
ASKED_SHARE: Final = 0.05
"""Share of regions that it is reckoned to send up."""
ROUNDING: Final = 1e-6
"""What float32 scores may lack to 1 although the model has no output for "none of these"."""
Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image: what it shows, and what the model said."""

    truth: int
    """Class index; -1: none of the classes."""
    guess: int
    """The same."""
    score: float
    """Probability of the answer, 0..1."""
    margin: float
    """To the second best, 0..1."""
    entropy: float
    """Of all probabilities, "none of these" among them, in nats."""
    energy: float
    none: float
    """Probability of "none of these", 0..1; 0 where the model has no such output."""
    loss: float
    """-log of the truth's probability, in nats."""
    group: str
    """Images of one group are not independent: a track, else the image's own name."""


def outcome(prediction: Prediction, truth: int, group: str) -> Outcome:
    """Take down one prediction.

    Args:
        prediction: Of the model.
        truth: Class index, or -1.
        group: The track, or the image's name.
    """
    scores = prediction.scores.astype(np.float64)
    lacking = 1 - float(scores.sum())
    none = lacking if lacking > ROUNDING else 0.0
    every = np.append(scores, none)
    right = max(ROUNDING, none) if truth == NONE else float(scores[truth])
    return Outcome(
        truth=truth,
        guess=prediction.index,
        score=prediction.score,
        margin=prediction.margin,
        entropy=-float((every * np.log(np.maximum(every, TINY))).sum()),
        energy=prediction.energy,
        none=none,
        loss=-math.log(max(TINY, right)),
        group=group,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Many images; all arrays have the shape (n,), n >= 1."""

    each: tuple[Outcome, ...]
    wrong: npt.NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, each: Sequence[Outcome]) -> "Outcomes":
        """Gather single images."""
        return cls(tuple(each), np.array([o.truth != o.guess for o in each], bool))

    def column(self, name: str) -> Column:
        """Return one field of all images as an array."""
        return np.array([getattr(o, name) for o in self.each], np.float64)

    @property
    def groups(self) -> list[str]:
        """The group of each image."""
        return [o.group for o in self.each]

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0..1."""
        return 1 - self.errors / len(self.each)

    @property
    def errors(self) -> int:
        """Wrong answers."""
        return int(self.wrong.sum())

    @property
    def ece(self) -> float:
        """Expected calibration error over 15 equal-mass bins, 0..1."""
        return expected_calibration_error(self.column("score").astype(np.float32), ~self.wrong)

    @property
    def nll(self) -> float:
        """Mean negative log likelihood of the truth, in nats."""
        return float(self.column("loss").mean())

    @property
    def none_rate(self) -> float:
        """Share answered "none of these", 0..1."""
        return float((self.column("guess") == NONE).mean())

    def doubt(self, signal: str) -> Column:
        """Return how unsure the model is, by one of `SIGNALS`; high where unsure."""
        if signal == "1 - margin":
            return 1 - self.column("margin")
        if signal == "1 - probability":
            return 1 - self.column("score")
        return self.column(signal)

    def strangeness(self, score: str) -> Column:
        """Return how far each image is from a sure sign of a class; high for the unknown.

        Margin and probability are those of the best class: where the answer is "none of these",
        its margin lies below 0, for a sure "none" is as far from a sure sign as can be.

        Args:
            score: One of `SIGNALS`, or a field of `Outcome`.
        """
        none, margin = self.column("guess") == NONE, self.column("margin")
        if score == "1 - margin":
            return 1 - np.where(none, -margin, margin)
        if score == "1 - probability":
            return 1 - (self.column("score") - np.where(none, margin, 0.0))
        return self.column(score)

    def accuracy_interval(self) -> Interval:
        """Return the 95 % interval of the accuracy over groups."""
        right = ~self.wrong
        found = bootstrap(self.groups, lambda drawn: float(right[drawn].mean()))
        return found or Interval(self.accuracy, self.accuracy)

    def error_auroc(self, signal: str) -> float | None:
        """Return how well a signal ranks errors above right answers; None: one kind only."""
        return auroc(self.doubt(signal), self.wrong)

    def caught(self, signal: str, share: float) -> float | None:
        """Return the share of errors among the least sure `share`; None without errors."""
        return share_caught(self.doubt(signal), self.wrong, share)
