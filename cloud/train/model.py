"""The network: plain 3x3 convolutions, which int8 kernels run fastest. Shell."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.contract.errors import BadContentError, UnavailableError
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


def load_network(path: Path) -> Any:  # noqa: ANN401 - a keras.Model
    """Read a network with its float weights.

    Raises:
        BadContentError: it is no such file.
        UnavailableError: the file cannot be read.
    """
    if not path.is_file():
        raise UnavailableError(f"{path}: no such file; check the path")
    try:
        return keras().saving.load_model(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise BadContentError(f"{path}: not a network of this trainer: {first}") from error


def save_network(network: Any, path: Path) -> None:  # noqa: ANN401 - a keras.Model
    """Write a network with its float weights, without the optimizer's, four times as large."""
    bare = keras().Model.from_config(network.get_config())
    bare.set_weights(network.get_weights())
    temporary = path.with_name(f"{path.stem}.new.keras")
    bare.save(temporary)
    temporary.replace(path)


def with_answers(
    network: Any,  # noqa: ANN401 - a keras.Model
    known: tuple[str, ...],
    wanted: tuple[str, ...],
    width: float,
    dropout: float,
) -> Any:  # noqa: ANN401 - a keras.Model
    """Return a network that can give other answers too, and knows what it knew.

    Args:
        network: From `build`, trained.
        known: Its answers, in order.
        wanted: All answers, in order; those that it does not know start from nothing.
        width: As it was built.
        dropout: Of the new network.

    Raises:
        BadContentError: it knows an answer that is not wanted, or was built otherwise.
    """
    lost = [label for label in known if label not in wanted]
    if lost:
        raise BadContentError(
            f"the trained network knows {lost[0]!r}, which is no class of the profile; use the"
            " profile that it was trained with, extended"
        )
    grown = build(network.input_shape[1], len(wanted), width, dropout)
    try:
        for layer in network.layers:
            if layer.name != "logits":
                grown.get_layer(layer.name).set_weights(layer.get_weights())
        kernel, bias = grown.get_layer("logits").get_weights()
        old_kernel, old_bias = network.get_layer("logits").get_weights()
        columns = [wanted.index(label) for label in known]
        kernel[:, columns], bias[columns] = old_kernel, old_bias
        grown.get_layer("logits").set_weights([kernel, bias])
    except ValueError as error:
        raise BadContentError(
            "the trained network has other layers than this trainer builds, or another width;"
            " train it anew"
        ) from error
    return grown
