import numpy as np
import pytest
from pydantic import BaseModel

from agent.contract.errors import BadContentError
from cloud.train.detector.recipe import DetectorRecipe
from cloud.train.recipe import Recipe, make_recipe, parse_changes
from cloud.train.space import SPACE, drawn, json_schema, proposed


def test_all_knobs_are_fields_and_all_values_are_admitted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        recipe = proposed(drawn(rng), Recipe(side=32))
        assert recipe.side == 32
    for knob in SPACE:
        for end in (knob.low, knob.high):
            assert proposed({knob.name: end}, Recipe()) is not None
    assert set(json_schema()["properties"]) == {knob.name for knob in SPACE}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"side": 96}, "'side' may not be varied; only epochs, batch"),
        ({"learning_rate": 1.0}, "learning_rate = 1.0, need a number from 0.0001 to 0.01"),
        ({"epochs": 10.5}, "epochs = 10.5, need a whole number from 8 to 120"),
        ({"epochs": True}, "epochs = True"),
        ({"dropout": "0.1; rm"}, "dropout = '0.1; rm'"),
        ({"dropout": float("nan")}, "dropout = nan"),
    ],
)
def test_what_is_out_of_bounds_is_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadContentError, match=said):
        proposed(changes, Recipe())


def test_changes_are_read_from_words() -> None:
    assert parse_changes(["epochs=3", "dropout=0.5"]) == {"epochs": "3", "dropout": "0.5"}
    with pytest.raises(BadContentError, match="'epochs' is not KEY=VALUE"):
        parse_changes(["epochs"])


@pytest.mark.parametrize("kind", [Recipe, DetectorRecipe])
def test_an_unknown_knob_is_called_unknown(kind: type[BaseModel]) -> None:
    with pytest.raises(BadContentError, match="recipe: no knob 'epoch'; known: side, "):
        make_recipe(kind, parse_changes(["epoch=3"]))
    assert make_recipe(kind, {"seed": "7", "epochs": None}) == kind.model_validate({"seed": 7})
