"""A trained network becomes a model file that a device runs. Shell."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from agent.contract.errors import BadContentError
from agent.contract.manifest import InputSpec, ModelManifest, UnknownSpec, append_metadata
from agent.contract.messages import NONE_OF_THESE
from agent.contract.profile import Augmentation
from agent.vision.engine import Engine, ModelFile
from agent.vision.runtime import Runtime
from agent.vision.scores import calibrated
from agent.vision.types import FloatArray
from cloud.calibration import expected_calibration_error, fit_temperature
from cloud.train.backend import keras, tensorflow
from cloud.train.batches import Examples, IntArray, make_batch, plain_inputs
from cloud.train.recipe import Recipe

Precision = Literal["int8", "float16"]
CALIBRATION_STREAM: Final = 2**31
"""Stands where training has the epoch number, so that calibration images are new ones."""
BASIS_POINTS: Final = 10_000
KEPT: Final = 9_900
"""Basis points of known held-back inputs that do not count as unknown."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from; goes into its manifest."""

    name: str
    version: str
    profile: str
    trained_on: str
    data_sha256: str = ""
    """Of the annotations."""
    terms: str = ""
    """Licence of the weights."""


@dataclass(frozen=True, slots=True)
class Drop:
    """What export changed: float network against model file, on the same real images."""

    images: int
    float_errors: int
    file_errors: int
    disagreed: int
    """Images on which the two answer differently."""
    per_class: dict[str, tuple[int, int, int]]
    """Images, float errors and the file's errors of each class where these two differ."""

    @property
    def points(self) -> float:
        """Accuracy lost, in per cent of the images; below 0: gained."""
        return 100 * (self.file_errors - self.float_errors) / max(1, self.images)


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """A finished model file."""

    content: bytes
    metrics: dict[str, int]
    """On the held-back images: counts and basis points."""
    guesses: IntArray
    """Best class of each held-back image."""
    drop: Drop


def to_tflite(
    model: Any,  # noqa: ANN401 - a keras.Model
    train: Examples,
    recipe: Recipe,
    limits: Augmentation,
    precision: Precision = "int8",
) -> bytes:
    """Convert a Keras model.

    int8: weights per channel, int8 input with quantised = pixel - 128 and int8 logits.
    float16: weights as float16, float32 input in 0..1 and float32 logits.

    Raises:
        BadContentError: the input's quantisation came out otherwise.
    """
    tf = tensorflow()
    # A fixed batch of one: the device asks for one region at a time. Names end up in the file.
    fixed = keras().Input(batch_shape=(1, recipe.side, recipe.side, 3), name="pixels")
    with tempfile.TemporaryDirectory(prefix="secondlook-export-") as folder:
        single = keras().Model(fixed, model(fixed, training=False), name="device")
        single.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        else:
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            converter.representative_dataset = lambda: _calibration(train, recipe, limits)
        content = bytes(converter.convert())
    if precision == "int8":
        check_input(content)
    return content


def finish(
    content: bytes,
    network: Any,  # noqa: ANN401 - a keras.Model
    val: Examples,
    recipe: Recipe,
    provenance: Provenance,
    precision: Precision = "int8",
    earlier: ModelManifest | None = None,
) -> Exported:
    """Append labels and manifest, and check the file against the network.

    The same arguments give the same bytes.

    Args:
        content: From `to_tflite`.
        network: What it was made from.
        val: Held-back images: temperature and the threshold for the unknown are set on them, the
            metrics are theirs, all through the device's engine.
        recipe: Goes into the manifest.
        provenance: The same.
        precision: The same as for `to_tflite`.
        earlier: Of the run that held `val` back, where this one learned from it as well: its
            temperature, threshold and metrics are taken over.
    """
    manifest = ModelManifest(
        name=provenance.name,
        version=provenance.version,
        input=InputSpec(
            margin=recipe.margin, pixel_range=(0.0, 1.0) if precision == "float16" else None
        ),
        profile=provenance.profile,
        license=provenance.terms,
        trained_on=provenance.trained_on,
        data_sha256=provenance.data_sha256,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
    )
    logits = engine_logits(content, val, manifest)
    drop = measured_drop(float_logits(network, val, recipe), logits, val)
    if earlier:
        figures = {
            "temperature": earlier.temperature,
            "unknown": earlier.unknown,
            "metrics": earlier.metrics,
            "refit": True,
        }
    else:
        temperature = fit_temperature(logits, val.classes)
        figures = {
            "temperature": temperature,
            "unknown": unknown_spec(logits, val, temperature),
            "metrics": _metrics(logits, val, temperature),
        }
    manifest = manifest.model_copy(update=figures)
    file = append_metadata(content, val.labels, manifest)
    return Exported(file, manifest.metrics, logits.argmax(axis=1).astype(np.int64), drop)


def unknown_spec(logits: FloatArray, val: Examples, temperature: float) -> UnknownSpec:
    """Return the energy above which an input is unknown: `KEPT` of the known are below."""
    classes = len(val.labels) - (val.labels[-1] == NONE_OF_THESE)
    known = [row for row, index in zip(logits, val.classes, strict=True) if index < classes]
    energies = [calibrated(row, temperature, classes)[1] for row in known]
    threshold = float(np.quantile(energies, KEPT / BASIS_POINTS))
    return UnknownSpec(threshold=round(threshold, 4), kept=KEPT)


def float_logits(network: Any, examples: Examples, recipe: Recipe) -> FloatArray:  # noqa: ANN401
    """Return the network's own logits, shape (n, classes)."""
    rows = [np.asarray(network.predict_on_batch(x)) for x, _ in plain_inputs(examples, recipe)]
    return np.concatenate(rows).astype(np.float32)


def measured_drop(before: FloatArray, after: FloatArray, examples: Examples) -> Drop:
    """Compare two sets of logits, each of shape (n, classes), of the same images."""
    truths = examples.classes
    first, second = before.argmax(axis=1), after.argmax(axis=1)
    counts = [
        np.bincount(truths[chosen], minlength=len(examples.labels))
        for chosen in (truths >= 0, first != truths, second != truths)
    ]
    per_class = {
        label: (int(n), int(was), int(now))
        for label, n, was, now in zip(examples.labels, *counts, strict=True)
        if was != now
    }
    return Drop(
        len(truths), int(counts[1].sum()), int(counts[2].sum()),
        int((first != second).sum()), per_class,
    )  # fmt: skip


def engine_logits(content: bytes, examples: Examples, manifest: ModelManifest) -> FloatArray:
    """Return the logits of every example, shape (n, classes), as the device computes them."""
    engine = Engine(ModelFile(content, "new model", "", examples.labels, manifest))
    margin = manifest.input.margin
    rows = [
        engine.logits(image, box.widened(margin, image.shape[1], image.shape[0]))
        for image, box in zip(examples.images, examples.boxes, strict=True)
    ]
    return np.stack(rows)


def _metrics(logits: FloatArray, val: Examples, temperature: float) -> dict[str, int]:
    scaled = logits / np.float32(temperature)
    exps = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    scores = exps / exps.sum(axis=1, keepdims=True)
    right = scores.argmax(axis=1) == val.classes
    ece = expected_calibration_error(scores.max(axis=1), right)
    return {
        "val_images": len(val),
        "val_errors": int((~right).sum()),
        "val_accuracy_bp": round(BASIS_POINTS * float(right.mean())),
        "val_ece_bp": round(BASIS_POINTS * ece),
    }


def _calibration(
    train: Examples, recipe: Recipe, limits: Augmentation
) -> Iterator[list[FloatArray]]:
    rng = np.random.default_rng([recipe.seed, CALIBRATION_STREAM])
    rows = rng.integers(0, len(train), recipe.calibration)
    pixels, _ = make_batch(train, rows.astype(np.int64), recipe, limits, rng)
    # Pure black and white pin the input range to 0..1, so that quantising is one subtraction.
    pixels[0, 0, 0], pixels[0, 0, 1] = 0.0, 1.0
    for row in pixels:
        yield [row[None]]


def check_input(content: bytes) -> None:
    """Check that an int8 model takes pixels minus 128.

    Raises:
        BadContentError: it does not.
    """
    quantisation = Runtime(content, "new model", "auto", 1).input.quantisation
    if abs(quantisation.scale * 255 - 1) > 1e-5 or quantisation.zero_point != -128:
        raise BadContentError(
            f"new model: input quantisation {quantisation}, need scale 1/255 and zero point -128"
        )
