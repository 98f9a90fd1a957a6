"""A model file ready to look at pixels: pre-processing, runtime, scores. Shell."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.manifest import InputSpec, ModelManifest, parse_labels, read_metadata
from agent.contract.messages import NONE_OF_THESE
from agent.vision.heatmap import decode, find_maps
from agent.vision.preprocess import fill_input, integer_limits, pixel_table
from agent.vision.runtime import Runtime, RuntimeName
from agent.vision.scores import best_two, calibrated, dequantise, to_logits
from agent.vision.ssd import decode_ssd, is_ssd
from agent.vision.types import (
    Box,
    Detection,
    FloatArray,
    Image,
    Prediction,
    Region,
    whole,
)

MAX_MODEL_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file read and checked, not yet given to an interpreter."""

    data: bytes = field(repr=False)
    source: str
    sha256: str
    labels: tuple[str, ...]
    manifest: ModelManifest | None

    @property
    def version(self) -> str:
        """First 16 hexadecimal digits of the sha256: the model's name in messages."""
        return self.sha256[:16]


def read_model(path: Path, labels_path: Path | None = None, sha256: str = "") -> ModelFile:
    """Read a model file with its labels.

    Args:
        path: The `.tflite` file.
        labels_path: Label file, one a line; None: appended labels, else a side file named
            like the model (`x.labels.txt`, `x.txt`).
        sha256: Expected hash; empty: not checked.

    Raises:
        BadContentError: wrong hash, no labels, or broken metadata.
        UnavailableError: a file cannot be read.
    """
    data = _read_file(path, MAX_MODEL_BYTES)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 and digest != sha256:
        raise BadContentError(f"{path}: sha256 {digest}, expected {sha256}; fetch it again")
    try:
        labels, manifest = read_metadata(data)
        side = labels_path or (None if labels else _side_file(path))
        if side:
            labels = parse_labels(_read_file(side, MAX_MODEL_BYTES))
    except BadContentError as error:
        raise BadContentError(f"{path}: {error}") from error
    return ModelFile(data, str(path), digest, labels or (), manifest)


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        if path.stat().st_size > max_bytes:
            raise BadContentError(f"{path}: over {max_bytes} bytes")
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}; check the path") from error


def _side_file(path: Path) -> Path | None:
    for name in (f"{path.stem}.labels.txt", f"{path.stem}.txt"):
        if path.with_name(name).is_file():
            return path.with_name(name)
    return None


class Engine:
    """One model: regions in, predictions out. Not thread-safe: one thread owns it.

    Raises:
        BadContentError: shapes, dtypes or label count do not fit together.
        UnavailableError: no TFLite runtime is installed.
    """

    def __init__(
        self,
        model: ModelFile,
        runtime: RuntimeName = "auto",
        threads: int = 1,
        pixel_range: tuple[float, float] | None = None,
    ) -> None:
        """Load the model; `pixel_range` is for float models without a manifest."""
        self.model = model
        self._runtime = Runtime(model.data, model.source, runtime, threads)
        self.runtime_name = self._runtime.name
        manifest = model.manifest
        self._spec = manifest.input if manifest else InputSpec(pixel_range=pixel_range)
        self._temperature = manifest.temperature if manifest else 1.0
        self._classes = len(model.labels) - (model.labels[-1:] == (NONE_OF_THESE,))
        tensor = self._runtime.input
        try:
            self._table = pixel_table(tensor.dtype, tensor.quantisation, self._spec.pixel_range)
        except BadContentError as error:
            raise BadContentError(f"{model.source}: {error}") from error
        # Made once: memory that is asked for anew with each frame costs more than the copy.
        self._small: Image = np.empty((*tensor.shape[1:3], 3), np.uint8)
        outputs = self._runtime.outputs
        try:
            self._maps = find_maps(outputs, self._classes, self.input_size, manifest)
        except BadContentError as error:
            raise BadContentError(f"{model.source}: {error}") from error
        self.is_detector = self._maps is not None or is_ssd(outputs)
        self._check_outputs()
        self._probabilities = not self.is_detector and self._gives_probabilities()
        self._logits = None if self.is_detector else self._logit_table()

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the task's classes, in class order; "none of these" is not one."""
        return self.model.labels[: self._classes]

    @property
    def answers_none(self) -> bool:
        """True where the model has an output for "none of these"."""
        return self._classes < len(self.model.labels)

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height of the model input in pixels."""
        _, height, width, _ = self._runtime.input.shape
        return width, height

    def classify(self, image: Image, region: Region) -> Prediction:
        """Classify one region.

        Args:
            image: The frame, BGR uint8.
            region: Where to look; widened by the manifest's margin, cut to the frame.

        Returns:
            Scores of the task's classes. Where the model has an output for "none of these", its
            share is what they lack to 1; where that is the best one, index is -1, the label
            empty, and `score` is its probability.
        """
        box = region.box.widened(self._spec.margin, image.shape[1], image.shape[0])
        scores, energy = calibrated(self.logits(image, box), self._temperature, self._classes)
        index, score, margin = best_two(scores)
        known = index < self._classes
        index, label = (index, self.model.labels[index]) if known else (-1, "")
        scores = scores[: self._classes]
        return Prediction(region, index, label, score, margin, energy, scores)

    def logits(self, image: Image, box: Box) -> FloatArray:
        """Return the raw logits of a box, margin not added."""
        self._run(image, box)
        raw = self._runtime.output(self._runtime.outputs[0])[0]
        if self._logits is None:
            return to_logits(raw.astype(np.float32), self._probabilities)
        logits: FloatArray = self._logits[raw.view(np.uint8)]
        return logits

    def detect(self, image: Image, min_score: float) -> tuple[Detection, ...]:
        """Find objects in a whole frame, best first.

        Outputs are either score and box maps, see `agent.vision.heatmap`, or those of
        TFLite_Detection_PostProcess, see `agent.vision.ssd`.
        """
        self._run(image, whole(image))
        frame = image.shape[1], image.shape[0]
        if self._maps:
            scores, codes = (self._runtime.output(m) for m in self._maps.tensors)
            return decode(scores, codes, self._maps, min_score, frame)
        outputs = tuple(
            dequantise(self._runtime.output(s), s.quantisation) for s in self._runtime.outputs
        )
        return decode_ssd(outputs, self._classes, min_score, frame)

    def self_test(self) -> None:
        """Run once on a golden input, a grey ramp.

        Raises:
            BadContentError: an output is not finite.
        """
        ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (64, 1, 3))
        self._run(ramp, whole(ramp))
        for spec in self._runtime.outputs:
            if not np.isfinite(dequantise(self._runtime.output(spec), spec.quantisation)).all():
                raise BadContentError(f"{self.model.source}: output {spec.name} is not finite")

    def bare_invoke(self) -> None:
        """Run the interpreter on whatever the input holds: the bare arm of measurements."""
        self._runtime.invoke()

    def _run(self, image: Image, box: Box) -> None:
        # The view must not live across invoke(): the interpreter refuses to run then.
        view = self._runtime.input_view()
        fill_input(view, image, box, self._table, self._spec.channels == "rgb", self._small)
        del view
        self._runtime.invoke()

    def _check_outputs(self) -> None:
        if not self._classes:
            raise BadContentError(
                f"{self.model.source}: no labels inside or beside it; give --labels FILE or"
                " [model] labels"
            )
        if self.is_detector:
            return
        shapes = [s.shape for s in self._runtime.outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != 1:
            raise BadContentError(
                f"{self.model.source}: outputs {shapes}, need (1, classes) or the four of"
                " TFLite_Detection_PostProcess"
            )
        if shapes[0][1] != len(self.model.labels):
            raise BadContentError(
                f"{self.model.source}: {shapes[0][1]} outputs but {len(self.model.labels)} labels;"
                " give the label file made for this model"
            )

    def _logit_table(self) -> FloatArray | None:
        """Return the logit of each of the 256 values that an 8-bit output can take."""
        spec = self._runtime.outputs[0]
        if spec.dtype.itemsize != 1 or spec.quantisation.scale == 0.0:
            return None
        raw = np.arange(256, dtype=np.uint8).view(spec.dtype)
        return to_logits(dequantise(raw, spec.quantisation), self._probabilities)

    def _gives_probabilities(self) -> bool:
        if self.model.manifest:
            return self.model.manifest.output == "probabilities"
        spec = self._runtime.outputs[0]
        if spec.quantisation.scale:
            lowest, _ = integer_limits(spec.dtype)
            return spec.quantisation.scale <= 1 / 255 and spec.quantisation.zero_point == lowest
        grey = np.full((8, 8, 3), 128, np.uint8)
        self._run(grey, whole(grey))
        values = dequantise(self._runtime.output(spec)[0], spec.quantisation)
        return bool(values.min() >= 0 and abs(float(values.sum()) - 1) < 0.02)
