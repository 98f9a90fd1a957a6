"""The network: plain 3x3 convolutions, which int8 kernels run fastest. Shell."""

from typing import Any, Final

from cloud.train.backend import keras

LAYERS: Final = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (160, 1))
"""Channels and stride of each convolution at width 1; 0.48 M weights, 31 M multiplications."""


def build(side: int, classes: int, width: float, dropout: float) -> Any:  # noqa: ANN401 - a keras.Model
    """Return an untrained classifier.

    Input (batch, side, side, 3) float32 RGB in 0..1, output (batch, classes) logits: a
    quantised softmax would have steps of 1/256, which makes margins tie.
    """
    layers = keras().layers
    pixels = keras().Input((side, side, 3), name="pixels")
    x = pixels
    # Every name is given: they end up in the file, whose bytes must not depend on what ran before.
    for n, (channels, stride) in enumerate(LAYERS, 1):
        # No bias: batch normalisation has its own. Both melt into the convolution on export.
        filters = max(8, int(channels * width) // 8 * 8)
        x = layers.Conv2D(
            filters, 3, stride, padding="same", use_bias=False, name=f"convolution_{n}"
        )(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"normalise_{n}")(x)
        x = layers.ReLU(name=f"rectify_{n}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras().Model(pixels, logits, name="classifier")
