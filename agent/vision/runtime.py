"""The TFLite interpreter: LiteRT, or tflite-runtime behind the same few methods. Adapter."""

import importlib
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from agent.contract.errors import BadContentError, UnavailableError
from agent.vision.flatfile import check_whole
from agent.vision.preprocess import Quantisation, Tensor

RuntimeName = Literal["auto", "litert", "tflite-runtime"]
MODULES: Final = {
    "litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output tensor."""

    slot: int
    """Index inside the interpreter."""
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    quantisation: Quantisation


class Runtime:
    """One loaded model: one input tensor, some output tensors.

    Raises:
        BadContentError: the bytes are no model that this machine can run.
        UnavailableError: the runtime asked for is not installed.
    """

    def __init__(self, model: bytes, source: str, runtime: RuntimeName, threads: int) -> None:
        """Load `model`; `source` names it in messages; `threads` counts XNNPACK's."""
        self.name, interpreter = _interpreter_class(runtime)
        # XNNPACK ignores a thread count set after construction.
        try:
            check_whole(model)
            self._interpreter = interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError, BadContentError) as error:
            raise BadContentError(f"{source}: {_explain(str(error))}") from error
        inputs = [_spec(d) for d in self._interpreter.get_input_details()]
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].shape[::3] != (1, 3):
            shapes = [s.shape for s in inputs]
            raise BadContentError(
                f"{source}: inputs {shapes}, need one of shape (1, height, width, 3);"
                " export the model with batch size 1 and colour input"
            )
        self.input = inputs[0]
        self.outputs = tuple(_spec(d) for d in self._interpreter.get_output_details())

    def input_view(self) -> Tensor:
        """Return a writable view of the input tensor; drop it before `invoke`."""
        view: Tensor = self._interpreter.tensor(self.input.slot)()
        return view

    def invoke(self) -> None:
        """Run the model on what the input tensor holds."""
        self._interpreter.invoke()

    def output(self, spec: TensorSpec) -> Tensor:
        """Return a copy of an output tensor."""
        tensor: Tensor = self._interpreter.get_tensor(spec.slot)
        return tensor


def _interpreter_class(runtime: RuntimeName) -> tuple[str, Any]:
    names = list(MODULES) if runtime == "auto" else [runtime]
    for name in names:
        try:
            return name, importlib.import_module(MODULES[name]).Interpreter
        except ImportError:
            continue
    raise UnavailableError(
        f"no TFLite runtime among {', '.join(names)}: pip install ai-edge-litert"
        " (or, on Python 3.11 and older, pip install '.[legacy]')"
    )


def _spec(details: dict[str, Any]) -> TensorSpec:
    scale, zero_point = details["quantization"]
    return TensorSpec(
        int(details["index"]),
        str(details["name"]),
        tuple(int(n) for n in details["shape"]),
        np.dtype(details["dtype"]),
        Quantisation(float(scale), int(zero_point)),
    )


def _explain(message: str) -> str:
    first = message.split("\n", maxsplit=1)[0]
    if "edgetpu-custom-op" in message:
        return "compiled for the Edge TPU; use the file without _edgetpu in its name on a CPU"
    if "unresolved custom op" in message:
        return f"{first} Export the model with built-in operators only."
    if "not a valid Flatbuffer" in message:
        return "damaged, or not a TFLite model; copy it again and compare its sha256"
    return first
