"""Folders that call the classes otherwise than profile and model do."""

from pathlib import Path

import pytest

from agent.contract.errors import BadContentError
from agent.contract.manifest import ModelManifest
from agent.vision.shipped import load_profile
from cloud.data import read_folder
from cloud.naming import named_for, with_names
from tests.drawn_folder import LABELS, PROFILE, class_folders, packed, rows

ALIASES = {"disc": "0", "points left": "1", "points right": "2"}


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """The drawn profile, with the class numbers as aliases."""
    text = PROFILE
    for label, number in ALIASES.items():
        text = text.replace(f'label = "{label}"', f'label = "{label}"\naliases = ["{number}"]')
    path = tmp_path / "drawn.toml"
    path.write_text(text)
    return path


def test_underscores_and_numbers_become_labels(tmp_path: Path, profile: Path) -> None:
    task = load_profile(str(profile))
    assert with_names(read_folder(class_folders(tmp_path / "a", rows(1, 1))), task).labels == LABELS
    assert with_names(read_folder(packed(tmp_path / "b.npz")), task).labels == LABELS


def test_two_names_of_one_class_become_one(tmp_path: Path, profile: Path) -> None:
    root = class_folders(tmp_path / "a", rows(1, 1))
    (root / "points_left").rename(root / "0")
    task = load_profile(str(profile))
    assert with_names(read_folder(root), task).labels == ("disc", "disc", "points right")


def test_a_model_names_its_profile_or_the_caller_does(tmp_path: Path, profile: Path) -> None:
    folder = read_folder(packed(tmp_path / "b.npz"))
    assert named_for(folder, LABELS, None, "").labels == ("0", "1", "2")
    assert named_for(folder, LABELS, None, str(profile)).labels == LABELS
    shipped = ModelManifest(name="x", profile="medical")
    two = named_for(folder, ("normal", "pneumonia"), shipped, "").labels
    assert two == ("normal", "pneumonia", "2")
    unknown = ModelManifest(name="x", profile="not-shipped")
    assert named_for(folder, LABELS, unknown, "").labels == ("0", "1", "2")


def test_folders_go_by_name_only(tmp_path: Path) -> None:
    folder = read_folder(class_folders(tmp_path, rows(1, 1)))
    with pytest.raises(BadContentError, match=r"'disc' is no label of the model \(a, b, c\)"):
        named_for(folder, ("a", "b", "c"), None, "")
