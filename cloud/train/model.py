"""The network: plain 3x3 convolutions, which int8 kernels run fastest. Shell."""

from typing import Any, Final

from cloud.train.backend import keras

LAYERS: Final = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (160, 1))
"""Channels and stride of each convolution at width 1; 0.5 M weights, 30 M multiplications."""


def build(side: int, classes: int, width: float, dropout: float) -> Any:  # noqa: ANN401 - a keras.Model
    """Return an untrained classifier.

    Input (batch, side, side, 3) float32 RGB in 0..1, output (batch, classes) logits: a
    quantised softmax would have steps of 1/256, which makes margins tie.
    """
    layers = keras().layers
    pixels = keras().Input((side, side, 3), name="pixels")
    x = pixels
    for channels, stride in LAYERS:
        # No bias: batch normalisation has its own. Both melt into the convolution on export.
        x = layers.Conv2D(
            max(8, int(channels * width) // 8 * 8), 3, stride, padding="same", use_bias=False
        )(x)
        x = layers.BatchNormalization(momentum=0.98)(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras().Model(pixels, layers.Dense(classes, name="logits")(x))
