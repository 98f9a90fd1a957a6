"""The detector's network and its losses: plain 3x3 convolutions down, two steps up. Shell."""

from typing import Any, Final

from cloud.train.backend import keras, tensorflow

STRIDE: Final = 8
"""Input pixels per cell of the output maps."""
DOWN: Final = (
    ((16, 2),),
    ((32, 2), (32, 1)),
    ((64, 2), (64, 1)),
    ((96, 2), (96, 1)),
    ((128, 2), (128, 1)),
)
"""Channels and stride of each convolution at width 1, by resolution."""
PRIOR: Final = -3.0
"""Score logit of an untrained network: nearly all cells are background."""
LOOKS_LIKE: Final = 0.5
"""Background with a higher score looks like a sign; below, it is learned in full, as trees are."""


def build_detector(side: int, width: float) -> Any:  # noqa: ANN401 - a keras.Model
    """Return an untrained detector.

    Input (batch, side, side, 3) float32 RGB in 0..1. Two outputs, so that each has its own
    quantisation: score logits (batch, side / 8, side / 8, 1) and boxes (batch, side / 8,
    side / 8, 4), see `agent.vision.heatmap`.
    """
    layers = keras().layers
    pixels = keras().Input((side, side, 3), name="pixels")
    x, maps = pixels, []
    for level, steps in enumerate(DOWN, 1):
        for n, (channels, stride) in enumerate(steps, 1):
            x = _convolution(x, _filters(channels, width), stride, f"down_{level}_{n}")
        maps.append(x)
    # Features of coarse cells know what surrounds a sign, those of fine ones where it ends.
    for level in (4, 3):
        fine = maps[level - 1]
        x = layers.Conv2D(fine.shape[-1], 1, use_bias=False, name=f"narrow_{level}")(x)
        x = layers.BatchNormalization(momentum=0.98, name=f"normalise_narrow_{level}")(x)
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"up_{level}")(x)
        x = layers.Add(name=f"join_{level}")([x, fine])
        x = _convolution(x, fine.shape[-1], 1, f"smooth_{level}")
    prior = keras().initializers.Constant(PRIOR)
    scores = layers.Conv2D(1, 1, bias_initializer=prior, name="scores")(
        _convolution(x, _filters(32, width), 1, "score_features")
    )
    boxes = layers.Conv2D(4, 1, name="boxes")(
        _convolution(x, _filters(32, width), 1, "box_features")
    )
    return keras().Model(pixels, {"scores": scores, "boxes": boxes}, name="detector")


def score_loss(unmarked: float) -> Any:  # noqa: ANN401 - a Keras loss
    """Return the penalty-reduced focal loss (Law & Deng, "CornerNet", ECCV 2018), per object.

    Targets (batch, rows, columns, 3): how much the cell is an object's middle (1: it is),
    weight, and 1 where marks are complete. Where they are not, background that looks like a
    sign may be one that nobody marked, and counts `unmarked` only (after Zhang et al.,
    "Solving missing-annotation object detection with background recalibration loss", 2020).
    """
    tf = tensorflow()

    def loss(targets: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
        heat, weight, complete = (targets[..., i] for i in range(3))
        z = logits[..., 0]
        p = tf.sigmoid(z)
        middle = tf.cast(heat >= 1.0, z.dtype)
        found = middle * (1 - p) ** 2 * tf.nn.softplus(-z)
        doubt = tf.where((p > LOOKS_LIKE) & (complete < 0.5), unmarked, 1.0)
        alarm = (1 - middle) * (1 - heat) ** 4 * p**2 * tf.nn.softplus(z) * doubt
        return tf.reduce_sum(weight * (found + alarm)) / (1 + tf.reduce_sum(middle))

    return loss


def box_loss(share: float) -> Any:  # noqa: ANN401 - a Keras loss
    """Return 1 - IoU plus a tenth of the L1 distance of codes, weighted mean over cells.

    Targets (batch, rows, columns, 5): the four numbers of a box, and the cell's weight.
    """
    tf = tensorflow()

    def loss(targets: Any, codes: Any) -> Any:  # noqa: ANN401 - tensors
        weight = targets[..., 4]
        middle, size = targets[..., :2], tf.exp(targets[..., 2:4])
        # Far wrong sizes early in training must not overflow.
        own_middle, own_size = codes[..., :2], tf.exp(tf.clip_by_value(codes[..., 2:], -4.0, 5.0))
        low = tf.maximum(middle - size / 2, own_middle - own_size / 2)
        high = tf.minimum(middle + size / 2, own_middle + own_size / 2)
        inner = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
        outer = tf.reduce_prod(size, axis=-1) + tf.reduce_prod(own_size, axis=-1) - inner
        apart = tf.reduce_sum(tf.abs(targets[..., :4] - codes), axis=-1)
        wrong = 1 - inner / outer + 0.1 * apart
        return share * tf.reduce_sum(weight * wrong) / (1e-6 + tf.reduce_sum(weight))

    return loss


def _filters(channels: int, width: float) -> int:
    return max(8, int(channels * width) // 8 * 8)


def _convolution(x: Any, filters: int, stride: int, name: str) -> Any:  # noqa: ANN401
    # No bias: batch normalisation has its own. Both melt into the convolution on export.
    layers = keras().layers
    x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.98, name=f"normalise_{name}")(x)
    return layers.ReLU(name=f"rectify_{name}")(x)
