"""What `make demo` runs, recounted from what it leaves."""

import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from cloud.demo.recount import AskedLook, judge, percentile, read_ledger, read_looks
from cloud.demo.standin import NONE, UNREADABLE, StandIn, Truth, answer
from tests.makers import an_id

LABELS = ("Stop", "Yield", "Keep right")


@pytest.mark.slow
def test_the_demo_does_all_that_it_says(tmp_path: Path) -> None:
    figures_file, kept = tmp_path / "figures.json", tmp_path / "kept"
    command = [
        sys.executable,
        "-m",
        "cloud",
        "demo",
        "--json",
        str(figures_file),
        "--keep",
        str(kept),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "STAND-IN" in done.stdout
    figures = json.loads(figures_file.read_text())
    assert figures["looks"] >= 100
    assert figures["labelled"] == figures["verdicts"] == figures["looks"]
    assert (figures["lost"], figures["duplicated"]) == (0, 0)
    assert figures["revised"] > 0
    assert figures["advice"] >= 1
    assert figures["cost_usd"] > 0
    assert figures["accuracy"] > figures["accuracy_before"]
    assert figures["bytes_per_look_p99"] <= 4_000
    accepted, evicted = read_ledger(kept / "device" / "spool" / "ledger.log")
    stored = read_looks(kept / "cloud" / "secondlook.sqlite")
    assert {look.look_id for look in stored} == accepted.keys()
    assert not evicted


def test_a_folder_with_something_in_it_is_not_kept_over(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    command = [sys.executable, "-m", "cloud", "demo", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not empty" in done.stderr


def test_live_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    command = [sys.executable, "-m", "cloud", "demo", "--live"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_the_stand_in_errs_at_its_rate_and_is_the_same_every_time() -> None:
    truth = Truth("Stop", readable=True)
    answers = [answer(an_id(n), truth, LABELS, 0.07) for n in range(3_000)]
    wrong = [a for a in answers if a.label != "Stop"]
    assert 150 <= len(wrong) <= 270
    assert {a.label for a in wrong} == {"Yield", "Keep right", NONE}
    assert answers == [answer(an_id(n), truth, LABELS, 0.07) for n in range(3_000)]


def test_the_stand_in_says_none_and_unreadable() -> None:
    assert answer(an_id(1), Truth(None, readable=True), LABELS, 0.0).label == NONE
    assert answer(an_id(1), Truth("Stop", readable=False), LABELS, 0.0).label == UNREADABLE


def test_the_openai_sdk_talks_to_the_stand_in() -> None:
    truths = {an_id(1): Truth("Yield", readable=True)}
    with StandIn(truths.get, LABELS, 0.0) as server:
        with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            said = client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "what is it?"}],
                extra_headers={"X-Secondlook-Look": an_id(1)},
            )
            assert json.loads(said.choices[0].message.content or "")["label"] == "Yield"
            assert said.usage
            assert said.usage.prompt_tokens > 0
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(
                    model="m", messages=[], extra_headers={"X-Secondlook-Look": an_id(2)}
                )
        assert server.calls == 1


@pytest.mark.parametrize(
    ("outcome", "label", "truth", "before", "after"),
    [
        ("label", "Stop", "Stop", False, True),
        ("label", "Yield", "Yield", True, True),
        ("label", "Stop", "Yield", True, False),
        ("none", None, None, False, True),
        ("unreadable", None, "Yield", True, True),
        ("person", None, "Stop", False, False),
    ],
)
def test_right_before_and_after(
    outcome: str, label: str | None, truth: str | None, before: bool, after: bool
) -> None:
    look = AskedLook(an_id(1), 0, (0, 0, 1, 1), "Yield", outcome, label)
    assert judge(look, Truth(truth, readable=True)) == (before, after)


def test_percentiles_are_values_of_the_list() -> None:
    values = list(range(1, 101))
    assert [percentile(values, q) for q in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.5) == 0
