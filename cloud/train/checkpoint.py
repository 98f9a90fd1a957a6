"""What a killed training run needs to go on: weights, and a state that names them. Adapter."""

import io
import zipfile
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from agent.contract.errors import BadContentError
from agent.contract.messages import first_problem

STATE: Final = "state.json"


class RunState(BaseModel):
    """The least that a run must know; subclasses type the recipe and add the history."""

    recipe: Any
    data: str
    """Hash of the data."""
    weights: str = ""
    """File name beside the state."""


S = TypeVar("S", bound=RunState)


def save(folder: Path, model: Any, state: RunState, epoch: int) -> None:  # noqa: ANN401 - a keras.Model
    """Write weights and optimiser under a new name, then the state that names them, then tidy up.

    Plain arrays: Keras' own format cannot hold losses that are functions.
    """
    name = f"epoch-{epoch:04d}.npz"
    arrays = [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    (folder / name).write_bytes(buffer.getvalue())
    temporary = folder / f"{STATE}.new"
    temporary.write_text(state.model_copy(update={"weights": name}).model_dump_json(indent=1))
    temporary.replace(folder / STATE)
    for old in folder.glob("epoch-*.npz"):
        if old.name != name:
            old.unlink()


def interrupted(folder: Path, kind: type[S], recipe: BaseModel, data: str) -> S | None:
    """Return the state of an interrupted run, None where there is none.

    Args:
        folder: Of the checkpoint.
        kind: What the state is read as.
        recipe: Of the run that goes on.
        data: Its hash of the data.

    Raises:
        BadContentError: there is no such state in it, or one of another recipe or other data.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state = kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _broken(path, first_problem(error)) from error
    if state.recipe != recipe or state.data != data:
        raise BadContentError(
            f"{folder}: a checkpoint of another recipe or other data; remove it to start afresh,"
            " or choose another output file"
        )
    return state


def restore(folder: Path, model: Any, state: RunState) -> None:  # noqa: ANN401 - a keras.Model
    """Put a compiled model and its optimiser where they stood.

    Raises:
        BadContentError: the weights are missing, broken or of another network.
    """
    path = folder / state.weights
    model.optimizer.build(model.trainable_variables)
    variables = (*model.variables, *model.optimizer.variables)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            arrays = [stored[f"arr_{n}"] for n in range(len(stored.files))]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _broken(path, str(error)) from error


def _broken(path: Path, why: str) -> BadContentError:
    return BadContentError(
        f"{path}: not a checkpoint ({why}); remove {path.parent} to start afresh"
    )
