"""Where in a frame to look. Shell."""

from dataclasses import dataclass
from typing import Protocol

from agent.contract.errors import BadContentError
from agent.contract.profile import DETECTING, ProposeConfig
from agent.vision.colour import propose_colour
from agent.vision.engine import Engine
from agent.vision.motion import MotionDetector
from agent.vision.types import Box, Image, Region, whole


class Proposer(Protocol):
    """One way to find regions; belongs to one camera, may keep state between its frames."""

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return regions of a frame (BGR uint8), all inside it, the most promising first."""
        ...


class WholeFrame:
    """The frame is the region."""

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return one region."""
        return (Region(whole(image)),)


@dataclass(frozen=True, slots=True)
class Zones:
    """Fixed boxes, as shares of the frame."""

    zones: tuple[tuple[float, float, float, float], ...]

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return one region a zone, in their order; each at least one pixel."""
        height, width = image.shape[:2]
        regions = []
        for x0, y0, x1, y1 in self.zones:
            left, top = min(int(x0 * width), width - 1), min(int(y0 * height), height - 1)
            right, bottom = max(left + 1, round(x1 * width)), max(top + 1, round(y1 * height))
            regions.append(Region(Box(left, top, right, bottom)))
        return tuple(regions)


@dataclass(frozen=True, slots=True)
class DetectorModel:
    """A detection model; its regions carry score and class index."""

    engine: Engine
    min_score: float
    min_size: int
    max_regions: int

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return detections from `min_score` and `min_size` on, best first."""
        found = [
            Region(d.box, d.score, d.index)
            for d in self.engine.detect(image, self.min_score)
            if min(d.box.width, d.box.height) >= self.min_size
        ]
        return tuple(found[: self.max_regions])


@dataclass(frozen=True, slots=True)
class Colour:
    """Patches in the colours of traffic signs."""

    min_size: int
    max_regions: int

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return coloured patches."""
        return propose_colour(image, self.min_size, self.max_regions)


@dataclass(frozen=True, slots=True)
class DetectorAndColour:
    """A detector's boxes, then the coloured patches that touch none of them.

    A detector misses the kinds of signs that its training scenes did not mark, colour misses what
    is grey and takes much for a sign: together they miss least, and the classifier judges.
    """

    detector: DetectorModel
    colour: Colour
    max_regions: int

    def propose(self, image: Image) -> tuple[Region, ...]:
        """Return the regions of both."""
        found = self.detector.propose(image)
        more = [
            patch
            for patch in self.colour.propose(image)
            if not any(patch.box.overlap(region.box) > 0 for region in found)
        ]
        return (*found, *more)[: self.max_regions]


def make_proposer(config: ProposeConfig, detector: Engine | None) -> Proposer:
    """Make the proposer of one camera.

    Args:
        config: The way and its limits.
        detector: Detection model; needed for `DETECTING` kinds, may be shared by cameras of one
            thread.

    Raises:
        BadContentError: a detecting kind without a detection model.
    """
    if config.kind == "zones":
        return Zones(config.zones)
    if config.kind == "motion":
        return MotionDetector(config.min_size, config.max_regions)
    if config.kind == "colour":
        return Colour(config.min_size, config.max_regions)
    if config.kind in DETECTING:
        if detector is None or not detector.is_detector:
            what = (
                "no detection model is set"
                if detector is None
                else (f"{detector.model.source} is no detection model")
            )
            raise BadContentError(
                f"propose kind {config.kind!r}: {what}; name one under [model] detector (or file)"
            )
        model = DetectorModel(detector, config.min_score, config.min_size, config.max_regions)
        if config.kind == "detector":
            return model
        colour = Colour(config.min_size, config.max_regions)
        return DetectorAndColour(model, colour, config.max_regions)
    return WholeFrame()
