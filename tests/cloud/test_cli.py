"""The command line as people call it: texts, JSON and exit codes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.contract.messages import Reported
from agent.vision.shipped import shipped_model
from cloud.blobs import Blobs
from cloud.cli import main
from cloud.database import open_database
from cloud.schema import looks
from cloud.sieve import Heard
from cloud.store import Store
from tests.cloud.conftest import config_for
from tests.cloud.stocked import stock
from tests.llm_server import LlmServer
from tests.makers import NOW, look


class Result:
    """What one call of the command line left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.returncode = code
        self.stdout = out
        self.stderr = err


Call = Callable[..., Result]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls `main` as the console script does, within this process."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["secondlook-cloud", *map(str, args)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Result(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def stocked(tmp_path: Path) -> Path:
    """A state folder with ten looks that wait."""
    config = config_for(tmp_path)
    engine = open_database(config.database)
    stock(engine, Blobs(config.objects), *(look(n) for n in range(10)))
    engine.dispose()
    return Path(config.state_dir)


def test_label_asks_once_and_status_counts(called: Call, stocked: Path, tmp_path: Path) -> None:
    with LlmServer(script=["refusal", "off_list"]) as llm:
        config = tmp_path / "cloud.toml"
        config.write_text(f'[label]\nbase_url = "{llm.url}"\napi_key_env = ""\n')
        done = called("label", "-c", config, "--state-dir", stocked)
    assert (done.returncode, done.stdout) == (0, "10 answered, 0 wait on\n")
    found = json.loads(called("status", "--state-dir", stocked, "--json").stdout)
    assert found["looks"] == 10
    assert found["outcomes"] == {"label": 9, "person": 1}
    assert found["verdicts"] == 10
    assert found["cost_usd"] == pytest.approx(11 * (1_000 * 0.15e-6 + 20 * 0.6e-6))
    shown = called("status", "--state-dir", stocked).stdout
    assert "label 9, person 1" in shown
    assert "problem" not in shown


def test_status_tells_of_a_forged_report(called: Call, stocked: Path) -> None:
    engine = open_database(f"sqlite:///{stocked}/secondlook.sqlite")
    report = Reported(device="cam-1", at=NOW, agent="1", profile="p", model="m", verdict_seq=9)
    Store(engine).add([], [], [Heard("cam-1", report)], NOW)
    engine.dispose()
    found = json.loads(called("status", "--state-dir", stocked, "--json").stdout)
    assert found["verdicts_applied"] == 0
    assert "cam-1 reports verdicts up to 9" in found["problems"][0]
    assert "problem: cam-1 reports" in called("status", "--state-dir", stocked).stdout


def test_advice_is_shown_with_and_without_json(called: Call, stocked: Path, tmp_path: Path) -> None:
    config = tmp_path / "cloud.toml"
    with LlmServer(truth=lambda _: "Yield") as llm:
        config.write_text(
            f'state_dir = "{stocked}"\n[label]\nbase_url = "{llm.url}"\napi_key_env = ""\n'
            "[advice]\nmin_looks = 5\nmin_class_looks = 5\n"
        )
        assert "nothing to advise yet" in called("advice", "-c", config).stdout
        assert called("label", "-c", config).returncode == 0
    found = json.loads(called("advice", "-c", config, "--json").stdout)
    assert found["now"]["confused"] == [["Stop", "Yield", 10]]
    assert found["told"] == []
    shown = called("advice", "-c", config).stdout
    assert "confused 10 times: said Stop, was Yield" in shown


def test_audit_tells_the_error_of_all_from_those_drawn(
    called: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path)
    engine = open_database(config.database)
    # A device asked about forty and was wrong in half; of a hundred drawn it was wrong in five.
    asked = [look(n, sighting_label="Stop") for n in range(40)]
    drawn = [
        look(100 + n, audited=True, audit_share=0.1, reason="audit", sighting_label="Stop")
        for n in range(103)
    ]
    again = look(300, audited=True, audit_share=0.1, sighting_id=drawn[0].meta.sighting_id)
    other = look(301, device="cam-2", audited=True, audit_share=0.1, model="f" * 16)
    stock(engine, Blobs(config.objects), *asked, *drawn, again, other)
    with engine.begin() as connection:
        for number, one in enumerate((*asked, *drawn, again)):
            wrong = number < 20 or 40 <= number < 45 or one is again
            values = {"outcome": "label", "label": "Yield" if wrong else "Stop"}
            if 140 <= number < 143:
                values = {"outcome": "person"}
            mine = looks.c.look_id == one.meta.look_id
            connection.execute(looks.update().where(mine).values(**values))
    engine.dispose()
    where = ("--state-dir", config.state_dir, "--days", 100_000)
    found = json.loads(called("audit", *where, "--labeller-error", 0.01, "--json").stdout)
    by_model = {line["model"]: line for line in found}
    first = by_model["0123456789abcdef"]
    estimate = first["estimate"]
    assert (estimate["drawn"], estimate["wrong"], estimate["unsettled"]) == (103, 5, 3)
    assert estimate["rate"] == pytest.approx(0.05)
    assert estimate["interval"]["low"] == pytest.approx(0.0215, abs=1e-3)
    assert estimate["bounds"]["low"] == pytest.approx(0.0115, abs=1e-3)
    assert (first["asked"], first["asked_wrong"]) == (141, 26)
    assert by_model["f" * 16]["estimate"]["rate"] is None
    monkeypatch.setenv("COLUMNS", "80")
    shown = called("audit", *where, "--by-device", "--labeller-error", 0.01).stdout
    assert max(map(len, shown.splitlines())) <= 80
    row = next(line for line in shown.splitlines() if line.startswith("01234567  cam-1"))
    assert row.split() == [
        "01234567", "cam-1", "103", "3", "5", "5.0%", "2.2%", "..", "11.2%", "18.4%",
    ]  # fmt: skip
    assert "01234567 cam-1: 3 of 103 are open" in shown
    assert len(json.loads(called("audit", *where, "--device", "cam-2", "--json").stdout)) == 1
    for more in ((), ("--device", "cam-2")):
        nothing = called("audit", "--state-dir", config.state_dir, "--days", 0, *more)
        assert "came in that time" in " ".join(nothing.stdout.split())
    nobody = called("audit", *where, "--device", "nope")
    assert nobody.returncode == 1
    assert "no such device" in nobody.stderr


def test_audit_without_any_drawn_names_the_setting(called: Call, stocked: Path) -> None:
    assert "audit_share" in called("audit", "--state-dir", stocked).stdout


def test_audit_bears_a_chance_that_no_device_gives(called: Call, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    engine = open_database(config.database)
    sent = [look(n, audited=True, audit_share=share) for n, share in enumerate((1e-200, 1e-6))]
    stock(engine, Blobs(config.objects), *sent)
    with engine.begin() as connection:
        connection.execute(looks.update().values(outcome="none"))
    engine.dispose()
    (line,) = json.loads(
        called("audit", "--state-dir", config.state_dir, "--days", 100_000, "--json").stdout
    )
    assert line["estimate"]["drawn"] == 1


def test_keys_init_says_what_goes_where(called: Call, tmp_path: Path) -> None:
    made = called("keys", "init", tmp_path / "keys")
    assert made.returncode == 0
    assert "take OFFLINE now" in made.stdout
    assert (tmp_path / "keys" / "root.json").is_file()
    again = called("keys", "init", tmp_path / "keys")
    assert again.returncode == 1
    assert "not empty" in again.stderr


def test_fleet_show_of_an_empty_fleet(called: Call, stocked: Path) -> None:
    found = json.loads(called("fleet", "show", "--state-dir", stocked, "--json").stdout)
    assert [twin["device"] for twin in found] == ["cam-1"]
    assert found[0]["reported"] is None
    assert "cam-1" in called("fleet", "show", "--state-dir", stocked).stdout


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["run", "--config", "none.toml"], 3, "none.toml"),
        (["run", "--state-dir", "/proc/none"], 3, "state_dir"),
        (["status", "--state-dir", "nowhere"], 3, "is state_dir right?"),
        (["run", "--config", "bad.toml"], 1, "label.daily_cap_usd"),
        (["run", "--broker", "http://x"], 1, "broker.url"),
        (["run", "--profile", "no-such", "--state-dir", "s"], 1, "no-such"),
        (["fleet", "set", "cam-1", "threshold=0.5"], 1, "keys init"),
        (["fleet", "show", "nosuch", "--state-dir", "made"], 1, "nosuch: no such device"),
        (["evaluate", "none.tflite", "--data", "."], 3, "none.tflite"),
        (["evaluate", "none.tflite", "--data", ".", "--corrupt", "fog:9"], 1, "KIND:SEVERITY"),
        (["run", "--no-such-option"], 2, "no-such-option"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    called: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    code: int,
    words: str,
) -> None:
    (tmp_path / "bad.toml").write_text("[label]\ndaily_cap_usd = -3\n")
    open_database(f"sqlite:///{tmp_path}/made/secondlook.sqlite").dispose()
    monkeypatch.chdir(tmp_path)
    failed = called(*args)
    assert failed.returncode == code, failed.stderr
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr
    assert code == 2 or failed.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [["status", "--json"], ["label"], ["advice", "--json"], ["fleet", "show", "--json"]],
)
def test_commands_find_the_file_in_its_usual_place(
    called: Call,
    stocked: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    usual, other = tmp_path / "usual.toml", tmp_path / "other.toml"
    usual.write_text(f'state_dir = "{stocked}"\n[label]\ndaily_cap_usd = 0.0\napi_key_env = ""\n')
    other.write_text(f'state_dir = "{tmp_path}/nothing-here"\n')
    monkeypatch.setattr("cloud.config_file.DEFAULT_FILE", usual)
    assert called(*command).returncode == 0
    assert called(*command, "--config", other).returncode == 3
    monkeypatch.setattr("cloud.config_file.DEFAULT_FILE", tmp_path / "none.toml")
    monkeypatch.chdir(tmp_path)
    assert called(*command, "--state-dir", "nothing-here").returncode == 3


def test_module_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "cloud", "status", "--state-dir", "/none"]
    failed = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert failed.returncode == 3
    assert failed.stderr.startswith("secondlook-cloud: ")


def test_help_of_every_command_works(called: Call) -> None:
    for command in ([], ["run"], ["fleet", "set"], ["keys", "init"], ["train"], ["evaluate"]):
        shown = called(*command, "--help")
        assert shown.returncode == 0
        assert "Usage" in shown.stdout
    assert "Exit codes" in called("--help").stdout
    assert called("--version").stdout.startswith("secondlook-cloud ")


@pytest.mark.parametrize(
    ("model", "option", "said"),
    [
        ("sign-detector.tflite", ("--corrupt", "fog:3"), "a detector, to which --corrupt does not"),
        ("sign-detector.tflite", ("--whole-images",), "--whole-images does not apply"),
        ("traffic-signs.tflite", ("--ignore", "Stop"), "a classifier, to which --ignore does not"),
    ],
)
def test_options_that_would_not_be_heeded_are_refused(
    called: Call, model: str, option: tuple[str, ...], said: str
) -> None:
    failed = called("evaluate", str(shipped_model(model)), "--data", ".", *option)
    assert failed.returncode == 1
    assert said in failed.stderr
