import csv
from pathlib import Path

import pytest

from agent.contract.errors import BadContentError, UnavailableError
from agent.contract.messages import NONE_OF_THESE
from agent.vision.engine import read_model
from agent.vision.shipped import PROFILES, load_profile, shipped_model, shipped_profiles

SHIPPED = shipped_profiles()


def test_the_promised_profiles_are_shipped() -> None:
    assert {"traffic-signs", "surveillance"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_consistent(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert all(item.description for item in profile.classes)
    descriptions = [item.description for item in profile.classes]
    assert len(set(descriptions)) == len(descriptions)
    by_label = {item.label: item for item in profile.classes}
    for item in profile.classes:
        if item.mirror:
            assert by_label[item.mirror].mirror == item.label
            assert item.mirror != item.label
            assert item.symmetry == "none"
    if profile.model:
        labels = read_model(shipped_model(profile.model)).labels
        assert tuple(label for label in labels if label != NONE_OF_THESE) == profile.labels


def test_traffic_sign_labels_are_the_benchmarks_in_its_order(data_dir: Path) -> None:
    with (data_dir / "gtsrb" / "classes.csv").open(newline="") as file:
        names = {int(row["class_id"]): row["name"] for row in csv.DictReader(file)}
    assert load_profile("traffic-signs").labels == tuple(names[i] for i in sorted(names))


def test_left_and_right_mean_what_they_say() -> None:
    profile = load_profile("traffic-signs")
    for item in profile.classes:
        for side, other in (("left", "right"), ("right", "left")):
            if item.mirror and side in item.label:
                assert item.mirror == item.label.replace(side, other)
                assert side in item.description
                assert other not in item.description


@pytest.mark.parametrize(
    ("alias", "label"), [("motorbike", "motorcycle"), ("truck", "truck"), ("dog", None)]
)
def test_names_of_stock_models_are_understood(alias: str, label: str | None) -> None:
    assert load_profile("surveillance").canonical(alias) == label


def test_aliases_name_one_class_each() -> None:
    for name in SHIPPED:
        profile = load_profile(name)
        names = [*profile.labels, *(a for item in profile.classes for a in item.aliases)]
        assert len(set(names)) == len(names)


def test_a_profile_may_be_a_file(tmp_path: Path) -> None:
    copy = tmp_path / "mine.toml"
    copy.write_bytes((PROFILES / "surveillance.toml").read_bytes())
    assert load_profile(str(copy)) == load_profile("surveillance")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadContentError, match=r"'nope': not shipped; use one of .*traffic-signs"):
        load_profile("nope")
    with pytest.raises(UnavailableError, match=r"missing\.toml: No such file"):
        load_profile(str(tmp_path / "missing.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(BadContentError, match=r"broken\.toml: not TOML"):
        load_profile(str(broken))
    broken.write_text('name = "x"\ntitle = "x"\ninstructions = ""\nclass = []\n')
    with pytest.raises(BadContentError, match=r"broken\.toml: class"):
        load_profile(str(broken))


def test_shipped_models_are_found_by_name_only() -> None:
    assert shipped_model("traffic-signs.tflite").is_file()
    with pytest.raises(BadContentError, match="without folders"):
        shipped_model("../pyproject.toml")
    with pytest.raises(UnavailableError, match="no such shipped model"):
        shipped_model("none.tflite")
