"""A trained detector becomes a model file that a device runs. Shell."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from agent.contract.manifest import DetectorSpec, InputSpec, ModelManifest, append_metadata
from agent.vision.engine import Engine, ModelFile
from agent.vision.scores import FLOOR
from agent.vision.types import FloatArray, Image
from cloud.calibration import fit_platt
from cloud.detection_figures import (
    FrameResult,
    Matched,
    average_precision,
    match,
    threshold_at,
)
from cloud.scenes import Scene
from cloud.train.backend import keras, tensorflow
from cloud.train.detector.compose import Material
from cloud.train.detector.fit import BOXES, SCORES, epoch_scenes
from cloud.train.detector.network import STRIDE, build_detector
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.export import BASIS_POINTS, CALIBRATION_STREAM, Provenance, check_input

LABEL: Final = "sign"
ALARMS: Final = 0.1
"""False alarms per frame at which recall is told and the default threshold is set."""
FITTED_FROM: Final = 0.3
"""Raw scores from which on detections are looked at when scores are calibrated ..."""
LEAST_SCORE: Final = 0.001
"""... and calibrated ones from which on they are when the file is measured."""
Held = tuple[tuple[Scene, Image], ...]
"""Held-back scenes with their pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class ExportedDetector:
    """A finished model file."""

    content: bytes
    metrics: dict[str, int]
    """On the held-back scenes: counts and basis points."""


def detector_tflite(model: Any, material: Material, recipe: DetectorRecipe) -> bytes:  # noqa: ANN401 - a keras.Model
    """Convert a Keras model to int8: input quantised = pixel - 128, two int8 outputs.

    Raises:
        BadContentError: the input's quantisation came out otherwise.
    """
    tf = tensorflow()
    large = build_detector(recipe.input_side, recipe.width)
    large.set_weights(model.get_weights())
    side = recipe.input_side
    fixed = keras().Input(batch_shape=(1, side, side, 3), name="pixels")
    with tempfile.TemporaryDirectory(prefix="secondlook-export-") as folder:
        out = large(fixed, training=False)
        keras().Model(fixed, [out[SCORES], out[BOXES]], name="device").export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        converter.representative_dataset = lambda: _calibration(material, recipe)
        content = bytes(converter.convert())
    check_input(content)
    return content


def finish_detector(
    content: bytes,
    held: Held,
    recipe: DetectorRecipe,
    provenance: Provenance,
    ignored: tuple[str, ...],
) -> ExportedDetector:
    """Append label and manifest.

    Temperature, offset and default threshold are fitted on, and the metrics are those of, the
    held-back scenes run through the device's engine. The same arguments give the same bytes.
    """
    spec = DetectorSpec(stride=STRIDE, nms_iou=recipe.nms_iou, ignored=ignored)
    manifest = ModelManifest(
        name=provenance.name,
        version=provenance.version,
        task="detection",
        input=InputSpec(),
        detector=spec,
        profile=provenance.profile,
        license=provenance.terms,
        trained_on=provenance.trained_on,
        data_sha256=provenance.data_sha256,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
    )
    temperature, offset = _calibrated(_found(content, held, manifest, FITTED_FROM))
    spec = spec.model_copy(update={"offset": offset})
    manifest = manifest.model_copy(update={"temperature": temperature, "detector": spec})
    matched = _found(content, held, manifest, LEAST_SCORE)
    threshold = threshold_at(matched, ALARMS)
    # Rounded down, so that the threshold in the file still lets its own detections pass.
    spec = spec.model_copy(update={"min_score": int(threshold * BASIS_POINTS) / BASIS_POINTS})
    metrics = _metrics(matched, threshold)
    manifest = manifest.model_copy(update={"detector": spec, "metrics": metrics})
    return ExportedDetector(append_metadata(content, (LABEL,), manifest), metrics)


def _found(content: bytes, held: Held, manifest: ModelManifest, least: float) -> Matched:
    engine = Engine(ModelFile(content, "new model", "", (LABEL,), manifest))
    ignored = manifest.detector.ignored if manifest.detector else ()
    return match(
        FrameResult(
            engine.detect(image, least),
            tuple(o.box for o in scene.objects if o.label not in ignored),
            tuple(o.box for o in scene.objects if o.label in ignored),
        )
        for scene, image in held
    )


def _calibrated(matched: Matched) -> tuple[float, float]:
    """Return the temperature and offset that make a score the share of hits among such boxes."""
    scores = np.clip(matched.scores, FLOOR, 1 - FLOOR)
    return fit_platt(np.log(scores / (1 - scores)), matched.hits)


def _metrics(matched: Matched, threshold: float) -> dict[str, int]:
    objects = len(matched.found)
    recall = float((matched.found >= threshold).mean()) if objects else 0.0
    return {
        "val_frames": matched.frames,
        "val_objects": objects,
        "val_ap50_bp": round(BASIS_POINTS * average_precision(matched)),
        "val_recall_at_fppi_0_1_bp": round(BASIS_POINTS * recall),
    }


def _calibration(material: Material, recipe: DetectorRecipe) -> Iterator[list[FloatArray]]:
    changes = {"scenes_per_epoch": recipe.calibration, "batch": 2, "side": recipe.input_side}
    few = recipe.model_copy(update=changes)
    for pixels, _ in epoch_scenes(material, few, CALIBRATION_STREAM):
        # Pure black and white pin the input range to 0..1, so that quantising is one subtraction.
        pixels[:, 0, 0], pixels[:, 0, 1] = 0.0, 1.0
        for row in pixels:
            yield [row[None]]
