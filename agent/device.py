"""Build the parts that the device's file names. Shell."""

import os
from pathlib import Path

from agent.contract.config import DeviceConfig
from agent.contract.errors import BadContentError
from agent.contract.profile import DETECTING, Profile, ProposeConfig
from agent.pipeline import Lane
from agent.vision.engine import Engine, read_model
from agent.vision.predict import Classifier, DetectorClasses
from agent.vision.propose import make_proposer
from agent.vision.shipped import shipped_model
from agent.vision.tracker import Tracker, detector_tracker


def propose_of(config: DeviceConfig, profile: Profile, camera: str) -> ProposeConfig:
    """Return how a camera's regions are proposed: its own way, else the profile's."""
    own = next(c.propose for c in config.camera if c.name == camera)
    return own or profile.propose


def load_engine(config: DeviceConfig, profile: Profile, *, detector: bool) -> Engine:
    """Load the classifier, or the detector.

    Raises:
        BadContentError, UnavailableError: as of `read_model` and `Engine`.
    """
    model = config.model
    file, labels = (
        (model.detector, model.detector_labels) if detector else (model.file, model.labels)
    )
    shipped = profile.detector if detector else profile.model
    if not file and not shipped:
        raise BadContentError(
            f"profile {profile.name!r} ships no model: set [model] file (and labels) to one"
        )
    path = Path(file) if file else shipped_model(shipped)
    return Engine(
        read_model(path, Path(labels) if labels else None),
        model.runtime,
        model.threads,
        model.pixel_range,
    )


def build_vision(
    config: DeviceConfig, profile: Profile
) -> tuple[Engine, Classifier, dict[str, Lane]]:
    """Load the models and give each camera its proposer and tracker.

    Returns:
        The engine whose version is reported, the classifier, and the lanes by camera.

    Raises:
        BadContentError: the models do not fit the profile or the cameras, or as of `load_engine`.
        UnavailableError: as of `load_engine`.
    """
    proposals = {c.name: propose_of(config, profile, c.name) for c in config.camera}
    engine = load_engine(config, profile, detector=False)
    _check_labels(engine, profile)
    if engine.is_detector:
        _check_proposals(engine, proposals)
    detector: Engine | None = None
    if any(p.kind in DETECTING for p in proposals.values()):
        # A detection model in the classifier's place needs no other to propose for it.
        is_apart = config.model.detector or (profile.detector and not engine.is_detector)
        detector = load_engine(config, profile, detector=True) if is_apart else engine
        if not detector.is_detector:
            raise BadContentError(
                f"{detector.model.source}: a classification model cannot propose regions;"
                ' set [model] detector, or propose = { kind = "whole-frame" }'
            )
    classifier: Classifier = (
        DetectorClasses(engine.labels, profile) if engine.is_detector else engine
    )
    hits = config.settings.min_hits
    lanes = {
        name: Lane(
            make_proposer(propose, detector),
            detector_tracker(os.urandom, hits)
            if engine.is_detector
            else Tracker(os.urandom, hits, fixed=propose.kind in ("whole-frame", "zones")),
        )
        for name, propose in proposals.items()
    }
    return engine, classifier, lanes


def _check_labels(engine: Engine, profile: Profile) -> None:
    """Refuse a model of another task.

    A classifier with our manifest was trained for one profile, so all its labels are classes.
    Models of somebody else, and detectors, may know more than is asked of them.
    """
    unknown = [label for label in engine.labels if profile.canonical(label) is None]
    all_must_fit = engine.model.manifest is not None and not engine.is_detector
    if unknown and (all_must_fit or len(unknown) == len(engine.labels)):
        raise BadContentError(
            f"{engine.model.source}: label {unknown[0]!r} is no class of profile"
            f" {profile.name!r}; set profile to the one the model is for, or [model] file to a"
            " model of this profile"
        )


def _check_proposals(engine: Engine, proposals: dict[str, ProposeConfig]) -> None:
    """Refuse regions that a detection model in the classifier's place did not find itself."""
    for camera, propose in proposals.items():
        if propose.kind != "detector":
            raise BadContentError(
                f"camera {camera!r}: {engine.model.source} is a detection model, which cannot"
                f' classify regions of kind {propose.kind!r}; set propose = {{ kind = "detector"'
                " }, or [model] file to a classification model"
            )
