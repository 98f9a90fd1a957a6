"""The shipped models on what they were held back from: the card's figure, and the way to a look."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from agent.vision.shipped import MODELS, load_profile, shipped_model
from cloud.data import decode, read_folder, split_by_image
from cloud.evaluate import evaluate
from tests.agent.commands.test_run import SUMMARY

DATA = {
    "crops": "other/plantvillage-apple",
    "medical": "other/pneumoniamnist-train-val.npz",
}
DEVICE = """
device = "cam-1"
profile = "{profile}"
state_dir = "{root}/state"
[[camera]]
name = "bench"
uri = "dir://{root}/pictures"
[broker]
url = "mqtt://127.0.0.1:9"
[settings]
threshold = 0.95
audit_share = 0.3
"""
SHOWN = 40


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(DATA))
def test_a_model_is_as_good_as_its_card_says(data_dir: Path, name: str) -> None:
    card = (MODELS / f"{name}.md").read_text()
    promised = re.search(r"\*\*([\d.]+) %\*\* \| (\d+) of (\d+)", card)
    assert promised
    report = evaluate(shipped_model(f"{name}.tflite"), data_dir / DATA[name], "val")
    assert (report.split, report.matched_by) == ("val", "name")
    assert report.n == int(promised[3])
    assert report.errors <= int(promised[2])
    assert 100 * report.accuracy >= float(promised[1]) - 0.005
    assert report.size_bytes <= 600_000
    assert report.sha256 in card
    assert any("research only" in note for note in report.notes) == (name == "medical")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DATA))
def test_real_pictures_become_sightings_and_looks(
    data_dir: Path, tmp_path: Path, name: str
) -> None:
    folder = split_by_image(read_folder(data_dir / DATA[name]))
    (tmp_path / "pictures").mkdir()
    held = folder.of("val")
    for n, (_, image) in enumerate(decode(folder, held[:: max(1, len(held) // SHOWN)][:SHOWN])):
        assert not isinstance(image, str)
        cv2.imwrite(str(tmp_path / "pictures" / f"{n:03d}.png"), image)
    config = tmp_path / "device.toml"
    config.write_text(DEVICE.format(profile=name, root=tmp_path))
    ran = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--config", str(config), "--until-settled", "1"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 3, ran.stderr
    told = SUMMARY.fullmatch(ran.stdout)
    assert told, ran.stdout
    frames, sightings, accepted, _, _, left = map(int, told.groups())
    assert frames == SHOWN
    assert sightings == SHOWN
    assert accepted == left > 0
    said = load_profile(name).notice
    assert ("research_only notice=" in ran.stderr) == bool(said)
    assert said in ran.stderr
