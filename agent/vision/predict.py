"""From region to prediction: by a classifier, or by the detector's own class. Shell."""

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from agent.contract.profile import Profile
from agent.vision.preprocess import difference_hash
from agent.vision.propose import prediction_from_detection
from agent.vision.types import Image, Prediction, Region

HASH_SIZE = (32, 32)


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
        """Return the detector's class for a region it proposed, with the region's dHash."""
        prediction = prediction_from_detection(region, self.detector_labels, self.profile)
        box = region.box
        cut = image[box.y0 : box.y1, box.x0 : box.x1]
        small = np.asarray(cv2.resize(cut, HASH_SIZE), np.uint8)
        return replace(prediction, dhash=difference_hash(small))
