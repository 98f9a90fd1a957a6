"""From region to prediction: by a classifier, or by the detector's own class. Shell."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agent.contract.errors import BadContentError
from agent.contract.profile import Profile
from agent.vision.types import Detection, Image, Prediction, Region


class Classifier(Protocol):
    """Regions in, predictions out. An `Engine` with a classification model is one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of `Prediction.scores`."""
        ...

    def classify(self, image: Image, region: Region) -> Prediction:
        """Return calibrated scores for one region of a frame (BGR uint8)."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorClasses:
    """Takes the detector's class as the prediction, where no classifier follows."""

    detector_labels: tuple[str, ...]
    profile: Profile

    @property
    def labels(self) -> tuple[str, ...]:
        """The profile's labels."""
        return self.profile.labels

    def classify(self, image: Image, region: Region) -> Prediction:
        """Return the detector's class for a region it proposed."""
        del image  # The detector has seen it.
        return prediction_from_detection(region, self.detector_labels, self.profile)


def prediction_from_detection(
    found: Detection | Region, labels: tuple[str, ...], profile: Profile
) -> Prediction:
    """Take a detector's class as the prediction.

    A detector gives one score a box and no rival classes. So `scores`, shape (profile
    classes,), holds that score at the class and 0 elsewhere; what is missing to 1 belongs to
    "none of these". Margin is the score itself: weak boxes are uncertain, and the usual
    threshold 0.5 means what it means to detectors. Energy is minus the score.

    Args:
        found: A detection, or the region that the detector proposed.
        labels: The detector's labels in class order.
        profile: Names the classes; its aliases map the detector's labels.

    Returns:
        A prediction in the profile's class order; index -1, an empty label and all-zero scores
        where the profile has no such class.

    Raises:
        BadContentError: the region comes from no detector.
    """
    if found.index is None:
        raise BadContentError("region without a class: only a detector's region can be classified")
    label = profile.canonical(labels[found.index])
    scores = np.zeros(len(profile.classes), np.float32)
    index = -1 if label is None else profile.labels.index(label)
    if index >= 0:
        scores[index] = found.score
    region = Region(found.box, found.score, found.index)
    return Prediction(region, index, label or "", found.score, found.score, -found.score, scores)
