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
