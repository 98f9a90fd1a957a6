"""What a model file of an earlier run hands on to a new one: recipe, answers, weights. Shell."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.manifest import ModelManifest
from agent.contract.profile import Profile
from agent.vision.engine import read_model
from agent.vision.shipped import MODELS
from cloud.train.files import beside
from cloud.train.material import Material
from cloud.train.model import load_network, with_answers
from cloud.train.recipe import Recipe

FURTHER: Final = {"epochs": 30, "learning_rate": 4e-4}
"""Changes to the recipe of a trained model that learns more: short and gentle."""
SHIPPED_WEIGHTS: Final = Path(__file__).resolve().parents[1] / "weights"
"""Float weights of shipped models: a device has no use for them."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A model file that this trainer made."""

    path: Path
    manifest: ModelManifest
    labels: tuple[str, ...]
    """Its answers, in order."""
    recipe: Mapping[str, object]
    """Its own, with what was to be changed."""

    def check_same(self, task: Profile, material: Material) -> None:
        """See that a run with this recipe is the same task on the same data.

        Raises:
            BadContentError: it is another: the figures and the calibration would be foreign.
        """
        manifest = self.manifest
        for what, own, other in (
            ("profile", manifest.profile, task.name),
            ("answers", self.labels, material.train.labels),
            ("data", manifest.data_sha256, material.sha256),
        ):
            if own != other:
                raise BadContentError(
                    f"{self.path}: made with another {what}; its figures say nothing about this"
                    " run: train with held-back images first"
                )

    @property
    def weights(self) -> Path:
        """Where its float weights lie: beside it, or here for a shipped one.

        Raises:
            UnavailableError: nowhere.
        """
        name = beside(self.path, ".keras")
        places = [name] + [SHIPPED_WEIGHTS / name.name] * (self.path.resolve().parent == MODELS)
        for place in places:
            if place.is_file():
                return place
        raise UnavailableError(
            f"{name}: no such file; the float weights that training wrote beside the model are"
            " needed"
        )

    def network(self, wanted: tuple[str, ...], recipe: Recipe) -> Any:  # noqa: ANN401 - a keras.Model
        """Return its network, which gives the wanted answers and knows what it knew.

        Raises:
            BadContentError: it was made for another input, or knows answers that are not wanted.
            UnavailableError: its float weights are nowhere.
        """
        network = load_network(self.weights)
        if network.input_shape[1] != recipe.side:
            raise BadContentError(
                f"{self.path}: made for {network.input_shape[1]} pixels a side, not"
                f" {recipe.side}; leave side as it is"
            )
        return with_answers(network, self.labels, wanted, recipe.width, recipe.dropout)


def read_earlier(path: Path, changes: Mapping[str, object]) -> Earlier:
    """Read a model file of this trainer.

    Args:
        path: The model file.
        changes: To its recipe, by field.

    Raises:
        BadContentError: it is none.
        UnavailableError: it cannot be read.
    """
    model = read_model(path)
    if model.manifest is None or not model.manifest.recipe:
        raise BadContentError(f"{path}: no recipe inside; give a model file of this trainer")
    if model.manifest.task != "classification":
        raise BadContentError(f"{path}: a detector; give a classifier of this trainer")
    recipe = {**model.manifest.recipe, **changes}
    return Earlier(path, model.manifest, model.labels, recipe)
