import io
import math
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from agent.contract.config import Limits, Settings, parse_config
from agent.contract.manifest import ModelManifest, UnknownSpec, append_metadata
from agent.contract.messages import AdviceBody
from agent.contract.profile import Profile, ProfileClass
from agent.device import build_vision
from agent.journal import Journal
from agent.notebook import Notebook
from agent.pipeline import Parts, Pipeline, too_soon
from agent.policy import policy_of
from agent.spool import Spool
from agent.twin import Twin
from agent.vision.engine import read_model
from agent.vision.shipped import load_profile, shipped_model
from agent.vision.types import Frame
from tests.makers import NOW, FakeClock, Keys, envelope, picture

SIGNER = CryptoSigner.generate_ed25519()
SIGNS = load_profile("traffic-signs")


@contextmanager
def line(
    folder: Path, clock: FakeClock, model: str = "", profile: Profile = SIGNS, **settings: Any
) -> Iterator[tuple[Pipeline, Twin, Spool]]:
    """The device's own line on whole frames; the journal writes when the line is left."""
    config = parse_config(
        {
            "device": "cam-1",
            "state_dir": str(folder),
            "camera": [{"name": "front", "uri": "scene://1", "propose": {"kind": "whole-frame"}}],
            "model": {"file": model},
            "settings": settings,
            "limits": {"min_threshold": 0.0, "max_threshold": 1.0},
            "spool": {"min_free_bytes": 0},
        },
        "test",
    )
    engine, classifier, lanes = build_vision(config, profile)
    notebook = Notebook(folder)
    spool = Spool(folder / "spool", config.spool, clock)
    journal = Journal(spool, notebook, threading.Event())
    twin = Twin(config, notebook, clock, Keys(SIGNER.public_key))
    parts = Parts(engine, classifier, profile, lanes, journal, twin, config, clock)
    stop = threading.Event()
    try:
        yield Pipeline(parts, None), twin, spool
        stop.set()
        journal.run(stop)
    finally:
        spool.close()
        notebook.close()


def frames(n: int, fps: float = 10.0, *, still: bool = False) -> Iterator[Frame]:
    for i in range(n):
        yield Frame("front", i, NOW + i / fps, picture(i if still else 0, 64), still)


def test_config_is_switched_between_two_frames(tmp_path: Path) -> None:
    with line(tmp_path, FakeClock(), threshold=0.05) as (pipeline, twin, _):
        for frame in frames(5, still=True):
            pipeline.step(frame)
        before = pipeline.counters.kept
        body = {"settings": {"threshold": 1.0, "duplicate_bits": 0}}
        twin.receive("desired", envelope(SIGNER, "desired", body, 1))
        for frame in frames(5, still=True):
            pipeline.step(frame)
        assert pipeline.counters.kept > before


def test_thresholds_of_the_model_replace_the_setting_and_advice_replaces_them(
    tmp_path: Path,
) -> None:
    shipped = read_model(shipped_model("traffic-signs.tflite"))
    assert shipped.manifest
    # The pictures here are no signs: what says so is made a class, or no threshold would be its.
    labels = (*shipped.labels[:-1], "nothing")
    nothing = ProfileClass(label="nothing", description="No sign.")
    profile = SIGNS.model_copy(update={"classes": (*SIGNS.classes, nothing)})
    own = {"thresholds": dict.fromkeys(labels, 0.0), "unknown": None}
    never = shipped.manifest.model_copy(update=own)
    model = tmp_path / "calm.tflite"
    with zipfile.ZipFile(io.BytesIO(shipped.data)) as archive:
        bare = shipped.data[: min(entry.header_offset for entry in archive.infolist())]
    model.write_bytes(append_metadata(bare, labels, never))
    with line(tmp_path, FakeClock(), str(model), profile, threshold=1.0, audit_share=0.0) as (
        pipeline, twin, _,
    ):  # fmt: skip
        for frame in frames(5, still=True):
            pipeline.step(frame)
        assert pipeline.counters.kept == 0
        always = {"thresholds": dict.fromkeys(labels, 1.0)}
        twin.receive("advice", envelope(SIGNER, "advice", always, 1))
        for frame in frames(5, still=True):
            pipeline.step(frame)
        assert pipeline.counters.kept > 0


def test_thresholds_of_the_model_are_held_within_the_limits() -> None:
    limits = Limits(min_threshold=0.2, max_threshold=0.8)
    advice = AdviceBody(thresholds={"Yield": 0.5}, based_on=9)
    manifest = ModelManifest(
        name="m",
        thresholds={"Stop": 1.0, "Yield": 0.3, "No entry": 0.0},
        unknown=UnknownSpec(threshold=-3.5, kept=9_900),
    )
    policy = policy_of(Settings(), advice, limits, manifest)
    assert policy.class_thresholds == {"Stop": 0.8, "Yield": 0.5, "No entry": 0.2}
    assert policy.unknown_above == -3.5
    assert policy_of(Settings(), advice, limits, None).unknown_above == math.inf


def test_kept_looks_reach_the_disk_and_cost_budget(tmp_path: Path) -> None:
    clock = FakeClock()
    # Audits have their reserve, but hardly ever is one drawn.
    with line(tmp_path, clock, threshold=1.0, looks_per_day=12, audit_share=1e-9) as (
        pipeline, _, spool,
    ):  # fmt: skip
        for frame in frames(20, still=True):
            pipeline.step(frame)
        assert pipeline.counters.kept == 2, "a quarter of a day's ration, less what audits keep"
        assert pipeline.counters.dropped["budget"] > 0
        looks, size, usd = pipeline.levels
        assert looks == 1
        assert size is not None
        assert size < 500_000 * 2
        assert usd is None
    assert spool.accepted == 2


def test_max_fps_of_fleet_config_thins_frames_out(tmp_path: Path) -> None:
    with line(tmp_path, FakeClock(), max_fps=5.0) as (pipeline, _, _spool):
        for frame in frames(20, fps=10.0):
            pipeline.step(frame)
        assert pipeline.counters.frames == 10


@pytest.mark.parametrize(
    ("gap", "max_fps", "still", "skipped"),
    [
        (0.05, 10.0, False, True),
        (0.1, 10.0, False, False),
        (0.0999, 10.0, False, False),
        (-5.0, 10.0, False, False),
        (0.001, 0.0, False, False),
        (0.001, 10.0, True, False),
    ],
)
def test_too_soon(gap: float, max_fps: float, still: bool, skipped: bool) -> None:
    frame = Frame("front", 1, NOW + gap, picture(), still)
    assert too_soon(frame, NOW, max_fps) is skipped
