"""`secondlook model pull` against a server on loopback."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.commands.pull import Order, pull
from agent.contract.errors import BadContentError
from agent.contract.stock import STOCK, Source, StockModel, stock_model
from tests.agent.commands.conftest import Cli
from tests.web import Web, body, serving

SMALL = Path(__file__).resolve().parents[2] / "data" / "int8_logits.tflite"
LABELS = b"red\ngreen\nblue\n"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as web:
        yield web


def source(web: Web, path: str, data: bytes) -> Source:
    web.answers[path] = body(data)
    return Source(web.url(path), hashlib.sha256(data).hexdigest(), len(data))


def small(web: Web) -> StockModel:
    model = source(web, "/model", SMALL.read_bytes())
    return StockModel("small", "colours", "none", model, source(web, "/labels", LABELS))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_model_and_labels_arrive_once(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = Order(small(web), tmp_path)
    assert pull(order, SystemClock()) == 0
    assert names(tmp_path) == ["small.labels.txt", "small.tflite"]
    assert (tmp_path / "small.tflite").read_bytes() == SMALL.read_bytes()
    assert (tmp_path / "small.labels.txt").read_bytes() == LABELS
    assert "fetched: " in capsys.readouterr().out
    assert pull(order, SystemClock()) == 0
    assert "here already: " in capsys.readouterr().out
    assert web.asked == ["/model", "/labels"]


def test_own_labels_are_left_alone(web: Web, tmp_path: Path) -> None:
    own = tmp_path / "small.labels.txt"
    own.write_text("rot\ngrün\nblau\n")
    assert pull(Order(small(web), tmp_path), SystemClock()) == 0
    assert own.read_text() == "rot\ngrün\nblau\n"


def test_another_file_of_that_name_is_not_written_over(web: Web, tmp_path: Path) -> None:
    own = tmp_path / "small.tflite"
    own.write_bytes(b"mine")
    with pytest.raises(BadContentError, match="remove it, or choose another folder with --to"):
        pull(Order(small(web), tmp_path), SystemClock())
    assert own.read_bytes() == b"mine"
    assert web.asked == []


def test_what_cannot_run_fails_its_self_test(web: Web, tmp_path: Path) -> None:
    stock = replace(small(web), model=source(web, "/text", b"no model, but the right hash"))
    with pytest.raises(BadContentError, match="not a TFLite model"):
        pull(Order(stock, tmp_path), SystemClock())


@pytest.mark.data
@pytest.mark.parametrize("stock", [m for m in STOCK if isinstance(m.labels, tuple)])
def test_a_pulled_model_works_at_once(
    cli: Cli, web: Web, tmp_path: Path, data_dir: Path, stock: StockModel
) -> None:
    (local,) = (
        path
        for path in (data_dir / "models").glob("*.tflite")
        if hashlib.sha256(path.read_bytes()).hexdigest() == stock.model.sha256
    )
    web.answers["/mirror"] = body(local.read_bytes())
    told = cli("model", "pull", stock.name, "--to", tmp_path / "m", "--from", web.url("/mirror"))
    assert (told.code, told.err) == (0, "")
    model = tmp_path / "m" / f"{stock.name}.tflite"
    assert f"secondlook classify photo.jpg --model {model}" in told.out
    image = data_dir / "images" / "grace_hopper.png"
    ran = cli("classify", image, "--model", model, "--json")
    assert json.loads(ran.out)[0]["predictions"]
    assert ran == cli("classify", image, "--model", local, "--json")


def test_wrong_bytes_are_1_in_one_line_and_no_model_is_there(
    cli: Cli, web: Web, tmp_path: Path
) -> None:
    web.answers["/x"] = body(b"something else")
    name = "ssd-mobilenet-v1-coco"
    ran = cli("model", "pull", name, "--to", tmp_path, "--from", web.url("/x"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert f"expected {stock_model(name).model.sha256}" in ran.err
    assert names(tmp_path) == []


def test_not_there_is_3(cli: Cli, web: Web, tmp_path: Path) -> None:
    ran = cli("model", "pull", "visual-wake-words", "--to", tmp_path, "--from", web.url("/gone"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert "404 Not Found" in ran.err
    assert names(tmp_path) == []


def test_labels_that_a_kill_left_out_come_next_time(web: Web, tmp_path: Path) -> None:
    (tmp_path / "small.tflite").write_bytes(SMALL.read_bytes())
    assert pull(Order(small(web), tmp_path), SystemClock()) == 0
    assert names(tmp_path) == ["small.labels.txt", "small.tflite"]
    assert web.asked == ["/labels"]


def test_a_folder_that_cannot_be_made_is_named(cli: Cli) -> None:
    ran = cli("model", "pull", "visual-wake-words", "--to", "/proc/x")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "secondlook: /proc/x: No such file or directory; choose another folder\n"


def test_a_folder_that_cannot_be_written_is_3(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = cli("model", "pull", "visual-wake-words", "--to", tmp_path / "file")
    assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
    assert str(tmp_path / "file") in ran.err


def test_list_fits_80_columns_and_an_unknown_name_is_1(cli: Cli) -> None:
    listed = cli("model", "pull")
    assert listed.code == 0
    assert all(model.name in listed.out for model in STOCK)
    assert max(map(len, listed.out.splitlines())) <= 80
    ran = cli("model", "pull", "yolo")
    assert ran.code == 1
    assert STOCK[0].name in ran.err
