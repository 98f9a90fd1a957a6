"""A model file as a person reads it, and as JSON. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.commands.words import size
from agent.contract.manifest import InputSpec, ModelManifest
from agent.vision.engine import ModelFile
from agent.vision.runtime import TensorSpec
from agent.vision.ssd import is_ssd

BASIS_POINTS: Final = "_bp"
"""How names of metrics end that are shares in 1/10,000."""
FIRST_LABELS: Final = 4
NOT_SAID: Final = "not said"


@dataclass(frozen=True, slots=True)
class Contents:
    """A model file with what its tensors tell."""

    model: ModelFile
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]


def as_dict(shown: Contents) -> dict[str, Any]:
    """Return everything that is known, as it stands in the JSON."""
    model = shown.model
    return {
        "file": model.source,
        "size": len(model.data),
        "sha256": model.sha256,
        "task": _task(shown),
        "input": _tensor_dict(shown.input),
        "outputs": [_tensor_dict(spec) for spec in shown.outputs],
        "manifest": model.manifest.model_dump(mode="json") if model.manifest else None,
        "labels": list(model.labels),
    }


def rows_of(shown: Contents) -> Iterator[tuple[str, str]]:
    """Yield title and text of each line; a text may have several lines."""
    model, manifest = shown.model, shown.model.manifest
    about = manifest or ModelManifest(name=Path(model.source).name)
    yield "name", about.name + (f", version {about.version}" if manifest else " (no manifest)")
    yield "task", _task(shown) + (f", profile {about.profile}" if about.profile else "")
    yield "file", model.source
    yield "size", f"{size(len(model.data))} ({len(model.data):,} bytes)"
    yield "sha256", model.sha256
    yield "input", tensor_words(shown.input) + "\n" + _pixels(about.input, manifest is not None)
    for spec in shown.outputs:
        name = f"  {spec.name}" if len(shown.outputs) > 1 else ""
        kind = f", {about.output}" if manifest and not name else ""
        yield "output", f"{tensor_words(spec)}{kind}{name}"
    if manifest:
        yield from _training_rows(manifest)
    yield "labels", label_words(model.labels)


def _training_rows(manifest: ModelManifest) -> Iterator[tuple[str, str]]:
    unknown = manifest.unknown
    yield "temperature", f"{manifest.temperature:g}"
    yield (
        "unknown",
        f"{unknown.score} above {unknown.threshold:g}; {basis_points(unknown.kept)} of known"
        " held-back inputs lie below"
        if unknown
        else "no threshold",
    )
    yield "thresholds", _pairs(manifest.thresholds) or "none by class: the device's setting"
    metrics = [metric(k, v) for k, v in manifest.metrics.items()]
    if manifest.refit and metrics:
        metrics.append("of the run before, which had not seen these images; this one has")
    yield "metrics", "\n".join(metrics) or NOT_SAID
    yield "trained on", manifest.trained_on or NOT_SAID
    if manifest.data_sha256:
        yield "data sha256", manifest.data_sha256
    yield "recipe", _pairs(manifest.recipe) or NOT_SAID
    yield "seed", NOT_SAID if manifest.seed is None else str(manifest.seed)
    yield "licence", manifest.license or NOT_SAID


def tensor_words(spec: TensorSpec) -> str:
    """Return shape, dtype and quantisation, e.g. `1 x 43 int8, scale 0.1, zero point -3`."""
    shape = " x ".join(str(n) for n in spec.shape)
    scale, zero_point = spec.quantisation.scale, spec.quantisation.zero_point
    quantised = f", scale {scale:.5g}, zero point {zero_point}" if scale else ""
    return f"{shape} {spec.dtype.name}{quantised}"


def metric(name: str, value: int) -> str:
    """Return a metric with its name in words; basis points become per cent."""
    share = name.endswith(BASIS_POINTS)
    words = name.removesuffix(BASIS_POINTS).replace("_", " ")
    return f"{words} {basis_points(value) if share else f'{value:,}'}"


def basis_points(value: int) -> str:
    """Return a share in 1/10,000 as per cent."""
    return f"{value / 100:.2f} %"


def label_words(labels: tuple[str, ...]) -> str:
    """Return how many labels there are, and the first few."""
    if not labels:
        return "none inside or beside it; give --labels FILE"
    more = f", and {len(labels) - FIRST_LABELS:,} more" if len(labels) > FIRST_LABELS else ""
    return f"{len(labels):,}: {'; '.join(labels[:FIRST_LABELS])}{more}"


def _task(shown: Contents) -> str:
    if shown.model.manifest:
        return shown.model.manifest.task
    return "detection" if is_ssd(shown.outputs) else "classification"


def _pixels(spec: InputSpec, said: bool) -> str:
    if not said:
        return "pixels 0 to 255 fill its range, rgb: without a manifest that is assumed"
    ends = (
        "the whole range" if spec.pixel_range is None else "{:g} to {:g}".format(*spec.pixel_range)
    )
    return f"{spec.channels}, pixels 0 to 255 are {ends}, box widened by {spec.margin:.0%} a side"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())


def _tensor_dict(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype.name,
        "scale": spec.quantisation.scale,
        "zero_point": spec.quantisation.zero_point,
    }
