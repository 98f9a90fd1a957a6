"""The network: plain 3x3 convolutions, which int8 kernels run fastest. Shell."""

from typing import Any, Final, NamedTuple

from cloud.train.backend import keras


class Layer(NamedTuple):
    """One convolution at width 1."""

    channels: int
    kernel: int
    stride: int


LAYERS: Final = (
    # The widest pictures are the dearest: one stride at once, with a kernel to match.
    Layer(32, 5, 2), Layer(32, 3, 1),
    Layer(64, 3, 2), Layer(64, 3, 1), Layer(64, 3, 1),
    Layer(128, 3, 2), Layer(128, 3, 1), Layer(192, 3, 1),
)  # fmt: skip
"""0.56 M weights, 36 M multiplications for 48 x 48 pixels."""


def build(side: int, classes: int, width: float, dropout: float) -> Any:  # noqa: ANN401 - a keras.Model
    """Return an untrained classifier.

    Input (batch, side, side, 3) float32 RGB in 0..1, output (batch, classes) logits: a
    quantised softmax would have steps of 1/256, which makes margins tie.
    """
    layers = keras().layers
    pixels = keras().Input((side, side, 3), name="pixels")
    x = pixels
    # Every name is given: they end up in the file, whose bytes must not depend on what ran before.
    for n, layer in enumerate(LAYERS, 1):
        # No bias: batch normalisation has its own. Both melt into the convolution on export.
        x = layers.Conv2D(
            max(8, int(layer.channels * width) // 8 * 8), layer.kernel, layer.stride,
            padding="same", use_bias=False, name=f"convolution_{n}",
        )(x)  # fmt: skip
        x = layers.BatchNormalization(momentum=0.98, name=f"normalise_{n}")(x)
        x = layers.ReLU(name=f"rectify_{n}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras().Model(pixels, logits, name="classifier")
