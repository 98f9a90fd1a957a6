"""What a second look at a sighting would be worth, as one number. Pure.

worth = novelty * (1 - (1 - doubt) * (1 - NEED * need)): nothing is worth asking twice; of what is
new, the doubtful and the classes that are needed come first. Doubt joins five signals as
independent reasons to be wrong would be joined (a noisy or): each alone can raise it, none can
lower it, and the calibrated margin leads, which ranks errors best on clean pictures.
"""

import math
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from agent.vision.types import FloatArray

V = TypeVar("V", float, npt.NDArray[np.float64])

MARGIN: Final = 0.9
"""What each signal counts at its most; below 1, so that even a tie leaves room for the others."""
ENTROPY: Final = 0.3
STRANGE: Final = 0.6
DISAGREE: Final = 0.5
BAND: Final = 0.3
NEED: Final = 0.3
STRANGE_WIDTH: Final = 1.0
"""Energy above (or below) the model's threshold at which strangeness is 0.73 (or 0.27)."""


@dataclass(frozen=True, slots=True)
class Signals(Generic[V]):
    """What is known about a region before anybody is asked; all in 0..1.

    Numbers, or arrays of one shape: a bench ranks a whole pool at once with what devices use.
    """

    margin: V
    """Calibrated: probability of the best class minus that of the second."""
    entropy: V
    """Of all class probabilities, "none of these" among them, as a share of the most possible."""
    strange: V
    """How far the energy lies above what the model calls unknown; 0.5 at its threshold."""
    disagree: V
    """Share of the track's evidence that speaks against this answer; 0 for a single picture."""
    band: V
    """How undecided the detector was: 4 s (1 - s) of its score; 0 where none proposed it."""
    novelty: V
    """0: as good as asked before; 1: nothing like it was. See `agent.asked`."""
    need: V
    """1: advice asks for this class; less, the more often this device has asked about it."""


def worth(signals: Signals[V]) -> V:
    """Return what a look is worth, 0..1."""
    return signals.novelty * (1.0 - (1.0 - doubt(signals)) * (1.0 - NEED * signals.need))


def doubt(signals: Signals[V]) -> V:
    """Return how likely the answer is to be wrong, 0..1; a ranking, not a probability."""
    return 1.0 - (
        (1.0 - MARGIN * (1.0 - signals.margin))
        * (1.0 - ENTROPY * signals.entropy)
        * (1.0 - STRANGE * signals.strange)
        * (1.0 - DISAGREE * signals.disagree)
        * (1.0 - BAND * signals.band)
    )


def relative_entropy(scores: FloatArray) -> float:
    """Return the entropy of class probabilities, shape (classes,), as a share of its maximum.

    What the probabilities lack to 1 belongs to "none of these".
    """
    none = max(0.0, 1.0 - float(scores.sum()))
    likely: list[float] = [p for p in (*scores.tolist(), none) if p > 0]
    spread = math.fsum(-p * math.log(p) for p in likely)
    return min(1.0, max(0.0, spread / math.log(len(scores) + 1)))


def strangeness(energy: float, unknown_above: float) -> float:
    """Return how strange an energy is to a model that calls higher ones unknown, 0..1.

    Args:
        energy: Of the prediction.
        unknown_above: The model's threshold; infinite: it has none, and nothing is strange.
    """
    far = (energy - unknown_above) / STRANGE_WIDTH
    return 1.0 / (1.0 + math.exp(min(-far, 500.0)))


def indecision(score: float) -> float:
    """Return how undecided a detector's score of 0..1 is: 0 at both ends, 1 in the middle."""
    return 4.0 * score * (1.0 - score)
