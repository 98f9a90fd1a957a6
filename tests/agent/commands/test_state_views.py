"""`watch`, `spool` and `advice` over a state folder, with and without a running daemon."""

import json
import time
from pathlib import Path

import pytest

from agent.alive import FILE, read_alive
from agent.commands.watch import ONCE_ROWS
from agent.commands.words import age, size
from agent.contract.ids import new_id
from tests.agent.commands.conftest import Cli, WriteConfig
from tests.agent.commands.states import fill_notebook, fill_spool, leave_sign, note

ADVICE = {
    "wanted": ["Yield", "Stop"],
    "confused": [["Stop", "Yield", 4]],
    "thresholds": {"Stop": 0.99, "Yield": 0.6},
    "based_on": 120,
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    now = time.time()
    notes = [
        note(2, now, state="revised", label="Yield", was="Stop", score=0.91),
        note(3, now, state="confirmed", label="No entry"),
        note(4, now, state="revised", label=None, was="Roundabout mandatory"),
        *(note(n, now, label="Priority road") for n in range(10, 10 + ONCE_ROWS)),
    ]
    fill_notebook(
        folder, notes, advice_seq=5, advice_body=ADVICE, advice_expires=now + 7_200,
        desired_body={"settings": {"threshold": 0.7}},
    )  # fmt: skip
    fill_spool(folder, 3)
    return folder


def test_watch_shows_a_dead_device(cli: Cli, state: Path) -> None:
    ran = cli("watch", "--state-dir", state, "--once")
    assert ran.code == 0
    assert "not running" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    seen, answered = ran.out.split("answered")
    assert seen.count("Priority road") == ONCE_ROWS
    assert "provisional" in seen
    assert "Priority road" not in answered
    for words in ("Yield", "revised", "Stop", "confirmed", "nothing known", "3 looks wait",
                  "in force for another 2 h", "wanted: Yield, Stop", "threshold=0.7"):  # fmt: skip
        assert words in answered, words


def test_an_answer_among_the_newest_is_shown_once(cli: Cli, tmp_path: Path) -> None:
    now = time.time()
    fill_notebook(tmp_path, [note(1, now, state="revised", label="Yield", was="Stop")])
    fill_spool(tmp_path, 0)
    out = cli("watch", "--state-dir", tmp_path).out
    assert out.count("revised") == 1
    assert "answered" not in out


def test_watch_shows_a_running_device(cli: Cli, state: Path) -> None:
    leave_sign(state, time.time(), broker="refused: Not authorized")
    ran = cli("watch", "--state-dir", state, "--once")
    for words in ("gate-3 running for 30 s, 15.0 frames/s", "ok for 30 s", "Not authorized",
                  "7 accepted, 4 receipted, the newest 5 s ago, 3 verdicts"):  # fmt: skip
        assert words in ran.out, words


@pytest.mark.parametrize("changes", [{"at": time.time() - 600}, {"pid": 2**22}])
def test_an_old_sign_of_life_or_a_gone_process_is_no_life(
    cli: Cli, state: Path, changes: dict[str, float]
) -> None:
    leave_sign(state, time.time(), **changes)
    assert "not running, last heard of" in cli("watch", "--state-dir", state, "--once").out


def test_a_torn_sign_of_life_is_none(state: Path) -> None:
    (state / FILE).write_bytes(b'{"at": 1')
    assert read_alive(state) is None


def test_watch_works_beside_a_config(cli: Cli, state: Path, write_config: WriteConfig) -> None:
    config = write_config("[spool]\nmax_bytes = 100_000\n")
    out = cli("watch", "--config", config, "--once").out
    assert "gate-3 not running" in out
    assert "of its bound)" in out


def test_fresh_folder_has_nothing_to_show(cli: Cli, tmp_path: Path) -> None:
    fill_notebook(tmp_path / "state", [])
    fill_spool(tmp_path / "state", 0)
    out = cli("watch", "--state-dir", tmp_path / "state", "--once").out
    for words in ("no sighting yet", "nothing waits: every accepted look",
                  "none: the cloud has advised nothing", "the local file's settings"):  # fmt: skip
        assert words in out, words


@pytest.mark.parametrize("command", ["watch", "spool", "advice"])
def test_folder_where_no_agent_ran(cli: Cli, command: str, tmp_path: Path) -> None:
    ran = cli(command, "--state-dir", tmp_path)
    assert ran.code == 3
    assert "has the agent run here?" in ran.err
    assert cli(command, "--state-dir", tmp_path / "none").code == 3


def test_spool_in_figures(cli: Cli, state: Path, write_config: WriteConfig) -> None:
    config = write_config()
    assert json.loads(cli("spool", "--config", config, "--json").out)["by_attempts"] == {}
    leave_sign(state, time.time(), attempts={0: 1, 1: 2})
    told = json.loads(cli("spool", "--config", config, "--json").out)
    looks = list((state / "spool" / "looks").iterdir())
    assert told["looks"] == len(looks) == 3
    assert told["bytes"] == sum(p.stat().st_size for p in looks)
    assert told["max_bytes"] == 256 * 1024 * 1024
    assert told["by_reason"] == {"uncertain": 3}
    assert told["by_camera"] == {"road": 3}
    assert told["by_attempts"] == {"0": 1, "1": 2}


def test_spool_tells_how_old_the_oldest_is(cli: Cli, tmp_path: Path) -> None:
    old = new_id(time.time() - 7_300, bytes(10))
    fill_spool(tmp_path, 1, look_id=old)
    told = json.loads(cli("spool", "--state-dir", tmp_path, "--json").out)
    assert told["oldest_s"] == pytest.approx(7_300, abs=60)
    assert "the oldest 2 h old" in cli("spool", "--state-dir", tmp_path).out


def test_advice_and_what_the_device_lets_count(
    cli: Cli, state: Path, write_config: WriteConfig
) -> None:
    config = write_config("[limits]\nmax_threshold = 0.8\n")
    told = json.loads(cli("advice", "--config", config, "--json").out)
    assert told["in_force"]
    assert told["thresholds"] == {
        "Stop": {"advised": 0.99, "in_force": 0.8},
        "Yield": {"advised": 0.6, "in_force": 0.6},
    }
    assert told["confused"] == [{"device": "Stop", "verdict": "Yield", "count": 4}]
    page = cli("advice", "--config", config).out
    assert "in force for another 2 h, from 120 labels" in page
    assert "held by [limits] max_threshold" in page
    assert "min_threshold" not in page


def test_advice_without_config_says_that_limits_are_unknown(cli: Cli, state: Path) -> None:
    assert "Give --config" in cli("advice", "--state-dir", state).out


def test_granted_money_is_shown_as_it_counts(
    cli: Cli, state: Path, write_config: WriteConfig
) -> None:
    grant = {"usd_per_day": 0.09, "usd_per_look": 0.0003}
    fill_notebook(state, [], advice_body={"grant": grant, "based_on": 0})
    told = json.loads(cli("advice", "--state-dir", state, "--json").out)
    assert told["grant"] == grant
    page = cli("advice", "--state-dir", state).out
    assert "Money: $0.0900 a day, for about 300 looks" in page
    assert "held by" not in page
    config = write_config("[limits]\nusd_per_day = 0.03\n")
    page = cli("advice", "--config", config).out
    assert "Money: $0.0300 a day, for about 100 looks, held by [limits] usd_per_day" in page


def test_expired_advice_is_none(cli: Cli, tmp_path: Path) -> None:
    past = time.time() - 7_200
    fill_notebook(tmp_path, [], advice_seq=1, advice_body=ADVICE, advice_expires=past)
    assert "none: the last advice expired 2 h ago" in cli("advice", "--state-dir", tmp_path).out
    assert json.loads(cli("advice", "--state-dir", tmp_path, "--json").out) == {
        "in_force": False, "expired": past,
    }  # fmt: skip


def test_reading_changes_no_file(cli: Cli, state: Path) -> None:
    before = {p: p.read_bytes() for p in state.rglob("*") if p.is_file()}
    for command in ("watch", "spool", "advice"):
        cli(command, "--state-dir", state)
    after = {p: p.read_bytes() for p in state.rglob("*") if p.is_file()}
    assert {p: after.get(p) for p in before} == before
    assert not [p for p in after.keys() - before.keys() if not p.name.endswith(("-shm", "-wal"))]


def test_words() -> None:
    assert [age(s) for s in (-5, 0.4, 59, 60, 150, 7_300, 200_000)] == [
        "0 s", "0 s", "59 s", "1 min", "2 min", "2 h", "2 d",
    ]  # fmt: skip
    assert [size(n) for n in (0, 999, 2_400, 5e6, 7e9, 2e13)] == [
        "0 B", "999 B", "2.4 kB", "5.0 MB", "7.0 GB", "20.0 TB",
    ]  # fmt: skip
