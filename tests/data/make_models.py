"""Makes the tiny TFLite models of this folder; run with the `train` extra installed.

python tests/data/make_models.py
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from agent.vision.types import FloatArray

HERE: Final = Path(__file__).parent
SIDE: Final = 8
CLASSES: Final = 3


def main() -> None:
    """Write all of them."""
    keras.utils.set_random_seed(5)
    colour = classifier((SIDE, SIDE, 3))
    write("float_in_out", colour, None)
    # Real inputs -1..1, so that scale and zero point are not those of 0..255.
    write("int8_logits", colour, quantised(-1.0, 1.0, tf.int8, colour))
    write("uint8_odd_scale", colour, quantised(-0.3, 2.1, tf.uint8, colour))
    write("softmax_int8", softmax(colour), quantised(0.0, 1.0, tf.int8, colour))
    grey = classifier((SIDE, SIDE, 1))
    write("grey_input", grey, None)
    write("two_inputs", two_inputs(), None)
    write("flat_input", classifier((SIDE * SIDE * 3,)), None)


def classifier(shape: tuple[int, ...]) -> keras.Model:
    """Brightness of each colour channel decides: class 0 red, 1 green, 2 blue."""
    pixels = keras.Input(shape, batch_size=1)
    values = keras.layers.Reshape((SIDE * SIDE, shape[-1] if len(shape) == 3 else 3))(pixels)
    means = keras.layers.GlobalAveragePooling1D()(values)
    layer = keras.layers.Dense(CLASSES)
    scores = layer(means)
    layer.set_weights([6 * np.eye(values.shape[-1], CLASSES), np.array([0.1, 0.0, -0.1])])
    return keras.Model(pixels, scores)


def softmax(model: keras.Model) -> keras.Model:
    """The same with probabilities."""
    return keras.Model(model.inputs, keras.layers.Softmax()(model.outputs[0]))


def two_inputs() -> keras.Model:
    """A model that this project does not run."""
    a, b = (keras.Input((SIDE, SIDE, 3), batch_size=1) for _ in range(2))
    flat = keras.layers.Flatten()(keras.layers.Add()([a, b]))
    return keras.Model([a, b], keras.layers.Dense(CLASSES)(flat))


def quantised(
    low: float, high: float, dtype: Any, model: keras.Model
) -> Callable[[tf.lite.TFLiteConverter], None]:
    """Full integer quantisation for inputs between low and high."""
    rng = np.random.default_rng(5)

    def samples() -> Iterator[list[FloatArray]]:
        for _ in range(32):
            plain = np.broadcast_to(rng.uniform(low, high, 3), (1, SIDE, SIDE, 3))
            yield [plain.astype(np.float32)]
            yield [rng.uniform(low, high, (1, SIDE, SIDE, 3)).astype(np.float32)]

    def apply(converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = dtype

    return apply


def write(
    name: str, model: keras.Model, quantise: Callable[[tf.lite.TFLiteConverter], None] | None
) -> None:
    """Convert, save and say what came out."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantise:
        quantise(converter)
    path = HERE / f"{name}.tflite"
    path.write_bytes(converter.convert())
    print(path.name, path.stat().st_size, "bytes")  # noqa: T201 - a script


if __name__ == "__main__":
    main()
