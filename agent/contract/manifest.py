"""What a model file says about itself. Pure.

A model file is a `.tflite` with a zip appended (the habit of TFLite metadata): any TFLite tool
runs it, `unzip -l` reads it. Ours holds `labels.txt` (UTF-8, one label a line) and
`manifest.json`.
"""

import io
import json
import re
import struct
import zipfile
import zlib
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.messages import Label, Score, first_problem

MAX_APPENDED_BYTES: Final = 1024 * 1024
MAX_LABELS: Final = 10_000
LABELS_NAME: Final = "labels.txt"
MANIFEST_NAME: Final = "manifest.json"
_FIXED_DATE: Final = (1980, 1, 1, 0, 0, 0)
_OUR_ENTRY: Final = re.compile(
    b"PK\x03\x04.{26}(?:%s|%s)"
    % (re.escape(LABELS_NAME.encode()), re.escape(MANIFEST_NAME.encode())),
    re.DOTALL,
)
"""Header of one of our entries: 30 bytes, then its name. Four bytes alone may come by chance."""


class InputSpec(BaseModel):
    """How pixels become the input tensor."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    margin: float = Field(default=0.0, ge=0.0, le=1.0)
    """How far a region is widened on each side before the cut, as a share of its size."""
    channels: Literal["rgb", "bgr"] = "rgb"
    pixel_range: tuple[float, float] | None = None
    """Real input values of pixels 0 and 255; None: the whole quantised domain."""


class UnknownSpec(BaseModel):
    """When an input is like nothing the model was trained on."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    score: Literal["energy"] = "energy"
    """-T * logsumexp(logits of the classes / T), after Liu et al., NeurIPS 2020."""
    threshold: float = Field(allow_inf_nan=False)
    """Above it an input is unknown ..."""
    kept: int = Field(ge=0, le=10_000)
    """... which leaves this share of known held-back inputs, in basis points."""


class DetectorSpec(BaseModel):
    """How the two maps of an anchor-free detector are read; see `agent.vision.heatmap`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    stride: int = Field(ge=1, le=64)
    """Pixels of the model input per cell of the maps."""
    boxes: Literal["centre-log-size"] = "centre-log-size"
    """Per cell, in cells: offset of the box's centre from the cell's, x and y, then the natural
    logarithms of width and height."""
    offset: float = Field(default=0.0, ge=-100.0, le=100.0)
    """Score = sigmoid((logit - offset) / temperature): the share of such boxes that are objects
    (J. Platt, "Probabilistic outputs for support vector machines", 1999)."""
    nms_iou: float = Field(default=0.4, ge=0.0, le=1.0)
    """Of two boxes of a class that overlap more, the better is kept."""
    min_score: float = Field(default=0.3, ge=0.0, le=1.0)
    """Score from which on held-back scenes had one false alarm per ten frames."""
    ignored: tuple[str, ...] = ()
    """Labels of training scenes that are neither objects nor, where found, mistakes."""


class ModelManifest(BaseModel):
    """The appended `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    schema_version: int = Field(default=1, ge=1)
    name: Annotated[str, Field(min_length=1, max_length=80)]
    version: Annotated[str, Field(max_length=80)] = "0"
    task: Literal["classification", "detection"] = "classification"
    output: Literal["logits", "probabilities"] = "logits"
    input: InputSpec = InputSpec()
    temperature: float = Field(default=1.0, gt=0.0, le=100.0)
    """Logits are divided by it before softmax (Guo et al. 2017)."""
    unknown: UnknownSpec | None = None
    thresholds: dict[Label, Score] = Field(default_factory=dict, max_length=MAX_LABELS)
    """Margins by class below which the device asks, in place of its setting `threshold`; advice
    replaces them, the device's limits hold them."""
    detector: DetectorSpec | None = None
    """Of a detection model with score and box maps; None: it ends in
    TFLite_Detection_PostProcess."""
    profile: str = ""
    license: str = ""
    trained_on: str = ""
    """Name of the data, and which part of it."""
    data_sha256: str = ""
    """Of the data's annotations."""
    refit: bool = False
    """True: at the end the held-back images were learned from, too; `metrics`, temperature and
    thresholds are those of the run before, which had not seen them."""
    recipe: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    metrics: dict[str, int] = Field(default_factory=dict)
    """Integers only (basis points, counts): signed metadata admits no floats."""


def append_metadata(model: bytes, labels: tuple[str, ...], manifest: ModelManifest) -> bytes:
    """Return the model file: `model` with labels and manifest appended as a zip.

    The same arguments give the same bytes.
    """
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        text = {
            LABELS_NAME: "\n".join(labels) + "\n",
            MANIFEST_NAME: json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True),
        }
        for name, content in text.items():
            entry = zipfile.ZipInfo(name, _FIXED_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def read_metadata(data: bytes) -> tuple[tuple[str, ...] | None, ModelManifest | None]:
    """Read labels and manifest out of a model file; None where it has none.

    A stock file's labels are its one appended `.txt`, whatever its name.

    Raises:
        BadContentError: a zip is there but cut off, broken, too large or not what it should be.
    """
    try:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            if _OUR_ENTRY.search(data):
                raise BadContentError("appended zip: cut off; copy the file again")
            return None, None
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            texts = [n for n in archive.namelist() if n.endswith(".txt")]
            name = LABELS_NAME if LABELS_NAME in texts else texts[0] if len(texts) == 1 else None
            labels = parse_labels(_read(archive, name)) if name else None
            if MANIFEST_NAME not in archive.namelist():
                return labels, None
            manifest = ModelManifest.model_validate_json(_read(archive, MANIFEST_NAME))
    except ValidationError as error:
        raise BadContentError(f"{MANIFEST_NAME}: {first_problem(error)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OSError, ValueError,
            NotImplementedError, RuntimeError) as error:  # fmt: skip
        raise BadContentError(f"appended zip: {first_problem(error)}") from error
    return labels, manifest


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > MAX_APPENDED_BYTES:
        raise BadContentError(f"appended {name}: over {MAX_APPENDED_BYTES} bytes")
    return archive.read(name)


def parse_labels(data: bytes) -> tuple[str, ...]:
    """Read a label file: UTF-8, one label a line, line number from 0 = class index.

    Raises:
        BadContentError: not UTF-8, empty, or too many lines.
    """
    try:
        labels = tuple(line.strip() for line in data.decode("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise BadContentError(f"labels: not UTF-8 at byte {error.start}") from error
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels or len(labels) > MAX_LABELS:
        raise BadContentError(f"labels: {len(labels)} lines, need 1 to {MAX_LABELS}")
    return labels
