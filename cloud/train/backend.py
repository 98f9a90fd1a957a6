"""TensorFlow and Keras, imported only when training starts. Adapter."""

import importlib
import os
from typing import Any

from agent.contract.errors import UnavailableError


def tensorflow() -> Any:  # noqa: ANN401 - a module without types
    """Return the `tensorflow` module.

    Raises:
        UnavailableError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    return module("tensorflow")


def keras() -> Any:  # noqa: ANN401 - a module without types
    """Return the `keras` module, on TensorFlow.

    Raises:
        UnavailableError: it is not installed.
    """
    tensorflow()
    return module("keras")


def make_repeatable(seed: int) -> None:
    """Fix all chance, and sum in a fixed order whatever the threads do; it costs no time."""
    keras().utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()


def warm_cosine(peak: float, steps: int, epochs: int) -> Any:  # noqa: ANN401 - a Keras schedule
    """Return a learning rate that warms up over the first epoch, then falls as a cosine to 0.

    Args:
        peak: Its highest value.
        steps: In one epoch.
        epochs: With one only, half of it warms up.
    """
    warm = min(steps, max(1, steps * epochs // 2))
    return keras().optimizers.schedules.CosineDecay(
        peak / 50,
        max(1, steps * epochs - warm),
        warmup_target=peak,
        warmup_steps=warm,
    )


def module(name: str) -> Any:  # noqa: ANN401 - a module without types
    """Return a module of the `train` extra.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(
            f"training needs {name}, which is not installed: pip install '.[train]'"
        ) from error
