"""What the pipeline asks about: one best view a sighting, audits, budgets, memory."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from securesystemslib.signer import CryptoSigner

from agent.contract.codec import Look
from agent.contract.config import parse_config
from agent.device import build_vision
from agent.journal import Journal
from agent.notebook import Note, Notebook
from agent.pipeline import Parts, Pipeline
from agent.spool import Spool
from agent.twin import Twin
from agent.vision.shipped import load_profile
from agent.vision.types import Frame, Image, Prediction, Region
from tests.makers import NOW, FakeClock, Keys, envelope

SIGNER = CryptoSigner.generate_ed25519()
SIGNS = load_profile("traffic-signs")
SIDE = 96
RATE = 10.0


class Told:
    """A classifier that reads its answer from the first pixel: class and margin in 1/255."""

    labels = SIGNS.labels

    def classify(self, image: Image, region: Region) -> Prediction:
        index, margin = int(image[0, 0, 0]), float(image[0, 0, 1]) / 255
        scores = np.zeros(len(self.labels), np.float32)
        scores[index], scores[(index + 1) % len(scores)] = 0.5 + margin / 2, 0.5 - margin / 2
        best = float(scores[index])
        return Prediction(region, index, self.labels[index], best, margin, -20.0, scores)


class Caught(Journal):
    """Keeps what it is given."""

    def __init__(self, *, full: bool = False) -> None:
        self.looks: list[Look] = []
        self.full = full

    def add(self, item: Look | Note) -> bool:
        if isinstance(item, Look) and not self.full:
            self.looks.append(item)
        return not self.full


@dataclass
class Line:
    parts: Parts
    pipeline: Pipeline
    journal: Caught
    clock: FakeClock
    number: int = 0

    def see(self, image: Image, *, still: bool = False) -> None:
        self.pipeline.step(Frame("front", self.number, self.clock.now(), image, still))
        self.number += 1
        self.clock.pass_(1 / RATE)

    @property
    def looks(self) -> list[Look]:
        return self.journal.looks

    @property
    def dropped(self) -> Counter[str]:
        return self.pipeline.counters.dropped

    def restarted(self) -> Pipeline:
        saved = json.loads(json.dumps([self.pipeline.levels, self.pipeline.memory]))
        return Pipeline(self.parts, *saved)


@contextmanager
def line(folder: Path, clock: FakeClock | None = None, **settings: Any) -> Iterator[Line]:
    clock = clock or FakeClock()
    limits = settings.pop("limits", {})
    config = parse_config(
        {
            "device": "cam-1",
            "state_dir": str(folder),
            "camera": [{"name": "front", "uri": "scene://1", "propose": {"kind": "whole-frame"}}],
            "settings": {"audit_share": 0.0, **settings},
            "limits": {"context": "frame", **limits},
            "spool": {"min_free_bytes": 0},
        },
        "test",
    )
    engine, _, lanes = build_vision(config, SIGNS)
    notebook, spool = Notebook(folder), Spool(folder / "spool", config.spool, clock)
    try:
        twin = Twin(config, notebook, clock, Keys(SIGNER.public_key))
        journal = Caught()
        parts = Parts(engine, Told(), SIGNS, lanes, journal, twin, config, clock)
        yield Line(parts, Pipeline(parts, None), journal, clock)
    finally:
        spool.close()
        notebook.close()


def sight(seed: int = 0, *, label: int = 0, margin: int = 25, blur: float = 0.0) -> Image:
    """A picture of an object: the same for the same seed, sharper or less."""
    rng = np.random.default_rng(seed)
    image = np.asarray(cv2.resize(rng.integers(0, 256, (24, 24, 3), np.uint8), (SIDE, SIDE)))
    if blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), blur))
    image[0, 0] = (label, margin, 0)
    return np.asarray(image, np.uint8)


def sure(seed: int = 0, label: int = 0) -> Image:
    return sight(seed, label=label, margin=255)


def test_the_sharpest_view_is_sent_when_the_sighting_closes(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=60.0) as one:
        for blur in (6.0, 4.0, 0.0, 3.0, 5.0):
            one.see(sight(blur=blur))
        assert not one.looks
        assert one.pipeline.holding
        for _ in range(3):
            one.see(sure(9, label=7))
        assert [look.meta.frame for look in one.looks] == [2]
        assert one.looks[0].meta.captured_at == pytest.approx(NOW + 0.2)
        assert not one.pipeline.holding


def test_a_clear_view_stands_for_a_sighting_that_was_in_doubt_from_afar(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=60.0) as one:
        for blur, margin in ((6.0, 25), (4.0, 25), (0.0, 255), (3.0, 255)):
            one.see(sight(blur=blur, margin=margin))
        one.pipeline.flush()
        assert [look.meta.frame for look in one.looks] == [2]
        assert one.looks[0].meta.margin == 1.0
        assert 0.3 < one.looks[0].meta.worth < 0.9, "of all frames, not of this one"


def test_a_long_sighting_is_asked_about_after_the_hold(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=2.0) as one:
        for n in range(60):
            one.see(sight(n % 3))
            assert len(one.looks) == (one.number > 22), "held from the second frame on"
        assert one.dropped["enough"] > 0


def test_what_is_held_is_sent_though_no_frame_comes(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=2.0) as one:
        one.see(sight())
        one.see(sight())
        one.pipeline.release()
        assert not one.looks
        one.clock.pass_(2.0)
        one.pipeline.release()
        assert len(one.looks) == 1


def test_at_the_end_everything_held_goes_to_the_journal(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=60.0) as one:
        one.see(sight())
        one.see(sight())
        one.pipeline.flush()
        assert len(one.looks) == 1
        assert not one.pipeline.holding


def test_it_holds_until_the_journal_has_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line(tmp_path) as one:
        for n in range(3):
            one.see(sight(n))
        add, holding = one.journal.add, list[bool]()

        def watched(item: Look | Note) -> bool:
            if isinstance(item, Look):
                holding.append(one.pipeline.holding)
            return add(item)

        monkeypatch.setattr(one.journal, "add", watched)
        one.pipeline.flush()
        assert holding
        assert all(holding)
        assert not one.pipeline.holding


def test_stills_are_asked_about_at_once(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=60.0) as one:
        for n in range(5):
            one.see(sight(n), still=True)
            assert len(one.looks) == n + 1


def test_no_hold_asks_about_each_other_view_at_once(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=0.0, looks_per_sighting=3, duplicate_bits=0) as one:
        for n in (0, 1, 1, 2, 3):
            one.see(sight(n))
        # The first frame made no sighting yet, the third showed what the second had.
        assert [look.meta.frame for look in one.looks] == [1, 3, 4]
        assert one.dropped["same"] == 1


def test_a_changed_answer_is_another_view(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=0.0, looks_per_sighting=3, duplicate_bits=6) as one:
        for label in (0, 0, 0, 1, 1):
            one.see(sight(0, label=label))
        answers = [look.meta.top[0].label for look in one.looks]
        assert answers == [SIGNS.labels[0]], "the same picture: 2 bits of 64 tell no answers apart"
        assert one.dropped["duplicate"] == 1


def test_a_sure_frame_against_its_sighting_is_asked_about(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=0.0) as one:
        for label in (0, 0, 0, 0, 1):
            one.see(sure(label, label=label))
        assert [look.meta.top[0].label for look in one.looks] == [SIGNS.labels[1]]
        assert one.looks[0].meta.sighting_label == SIGNS.labels[0]
        assert one.looks[0].meta.worth > 0.3


def test_the_context_shows_the_frame_of_the_crop(tmp_path: Path) -> None:
    with line(tmp_path, hold_s=60.0, context="thumbnail") as one:
        for seed, blur in ((1, 6.0), (2, 6.0), (3, 0.0), (4, 6.0)):
            one.see(sight(seed, blur=blur))
        one.pipeline.flush()
        shown = cv2.imdecode(np.frombuffer(one.looks[0].context, np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        gaps = [float(np.abs(shown.astype(int) - sight(s)).mean()) for s in (1, 2, 3, 4)]
        assert one.looks[0].meta.frame == 2
        assert gaps.index(min(gaps)) == 2


def test_the_same_thing_is_not_asked_again_after_a_restart(tmp_path: Path) -> None:
    with line(tmp_path) as one:
        one.see(sight(5), still=True)
        assert len(one.looks) == 1
        one.pipeline = one.restarted()
        one.see(sight(5), still=True)
        one.see(sight(6), still=True)
        assert len(one.looks) == 2
        assert one.dropped["duplicate"] == 1
        assert one.pipeline.levels[0] == pytest.approx(123, abs=0.01)


def test_every_sighting_that_is_drawn_is_audited_once(tmp_path: Path) -> None:
    # No budget to speak of, the same picture again and again: audits heed neither.
    with line(tmp_path, audit_share=1.0, hold_s=0.5, looks_per_day=80) as one:
        for n in range(12):
            for _ in range(4):
                one.see(sure(0, label=n % 2))
        one.pipeline.flush()
        metas = [look.meta for look in one.looks]
        assert len({m.sighting_id for m in metas}) == len(metas)
        assert all(m.audited and m.reason == "audit" and m.worth == 1.0 for m in metas)
        assert metas[0].audit_share == 1.0
        assert [m.sighting_label for m in metas] == [SIGNS.labels[n % 2] for n in range(len(metas))]
        assert len(metas) >= 10


def test_audits_are_drawn_less_often_while_their_reserve_is_low(tmp_path: Path) -> None:
    with line(tmp_path, audit_share=1.0, looks_per_day=80) as one:
        for n in range(60):
            one.see(sure(n), still=True)
        shares = [look.meta.audit_share for look in one.looks]
        assert shares[:16] == [1.0] * 16
        assert shares == sorted(shares, reverse=True)
        assert 17 <= len(shares) <= 24, "the whole bucket, and no more"
        assert 0 < shares[-1] < 1


def test_a_drawn_sighting_that_is_uncertain_too_is_one_look(tmp_path: Path) -> None:
    with line(tmp_path, audit_share=1.0, hold_s=0.5) as one:
        for _ in range(30):
            one.see(sight(0))
        metas = [look.meta for look in one.looks]
        assert [(m.reason, m.audited, m.audit_share) for m in metas] == [("uncertain", True, 1.0)]


def test_those_not_drawn_say_with_what_chance_they_were_not(tmp_path: Path) -> None:
    with line(tmp_path, audit_share=0.001) as one:
        one.see(sight(0), still=True)
        meta = one.looks[0].meta
        assert (meta.audited, meta.audit_share) == (False, 0.001)
        assert 0 < meta.worth < 1


def test_an_audit_that_finds_the_journal_full_is_sent_later(tmp_path: Path) -> None:
    with line(tmp_path, audit_share=1.0, hold_s=0.0) as one:
        one.journal.full = True
        one.see(sure())
        one.see(sure())
        assert one.dropped["busy"] == 1
        one.journal.full = False
        one.see(sure())
        one.see(sure())
        assert [look.meta.reason for look in one.looks] == ["audit"]


def test_granted_money_is_a_limit_until_the_advice_expires(tmp_path: Path) -> None:
    grant = {"usd_per_day": 0.4, "usd_per_look": 0.05}
    with line(tmp_path) as one:
        twin = one.parts.twin
        twin.receive("advice", envelope(SIGNER, "advice", {"grant": grant}, 1))
        for n in range(20):
            one.see(sight(n), still=True)
        assert len(one.looks) == 2, "a quarter of a day's money"
        assert one.pipeline.levels[2] == pytest.approx(0.0, abs=1e-4)
        one.clock.pass_(3_600)
        for n in range(20, 40):
            one.see(sight(n), still=True)
        assert len(one.looks) == 22


def test_the_device_holds_a_grant_within_its_own_limit(tmp_path: Path) -> None:
    grant = {"usd_per_day": 40.0, "usd_per_look": 0.05}
    with line(tmp_path, limits={"usd_per_day": 0.2}) as one:
        one.parts.twin.receive("advice", envelope(SIGNER, "advice", {"grant": grant}, 1))
        for n in range(20):
            one.see(sight(n), still=True)
        assert len(one.looks) == 1


def test_records_of_what_is_in_sight_are_kept(tmp_path: Path) -> None:
    with line(tmp_path) as one:
        for n in range(300):
            one.see(sure(n), still=True)
        lane = one.parts.lanes["front"]
        assert len(lane.records) <= 257


def test_threads_may_read_what_is_saved(tmp_path: Path) -> None:
    with line(tmp_path, looks_per_day=1_000_000) as one:
        stop, seen = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                seen.append(json.dumps(one.pipeline.memory))

        reader = threading.Thread(target=read)
        reader.start()
        for n in range(100):
            one.see(sight(n), still=True)
        stop.set()
        reader.join()
        assert seen


def test_levels_saved_by_an_older_version_count_and_rubbish_does_not(tmp_path: Path) -> None:
    with line(tmp_path) as one:
        again = Pipeline(one.parts, [3.0, 9_000.0], {"bar": [0.5], "asked": "rubbish"})
        assert again.levels == (3.0, 9_000.0, None)
        assert again.memory["bar"] == [0.5]
