"""Downloads from a real server that misbehaves."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.base.clock import SystemClock
from agent.base.fetch import Patience, fetch
from agent.contract.errors import BadContentError, SecondlookError, UnavailableError
from agent.contract.stock import Source
from tests.conftest import free_port
from tests.web import Handler, Web, body, drip, endless, moved, serving

DATA = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
PATIENCE = Patience(60.0)


class Ticking:
    """A clock that every look moves on by a second."""

    def __init__(self) -> None:
        self.steady = 0.0

    def now(self) -> float:
        return self.monotonic()

    def monotonic(self) -> float:
        self.steady += 1.0
        return self.steady


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


def get(url: str, path: Path, patience: Patience = PATIENCE) -> list[int]:
    pieces: list[int] = []
    fetch(Source(url, SHA256, len(DATA)), path, patience, SystemClock(), pieces.append)
    return pieces


def refused(url: str, path: Path, error: type[SecondlookError], patience: Patience) -> str:
    with pytest.raises(error) as caught:
        fetch(Source(url, SHA256, len(DATA)), path, patience, SystemClock(), lambda _: None)
    assert list(path.parent.iterdir()) == [], "nothing is left behind"
    return str(caught.value)


def test_a_file_arrives_in_a_new_folder_and_its_bytes_are_counted(web: Web, tmp_path: Path) -> None:
    web.answers["/x"] = body(DATA)
    path = tmp_path / "new" / "x.bin"
    assert sum(get(web.url("/x"), path)) == len(DATA)
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]
    assert path.stat().st_mode & 0o777 == 0o644, "the daemon is another user"


def test_a_file_that_moved_is_followed(web: Web, tmp_path: Path) -> None:
    web.answers.update({"/old": moved(web.url("/new")), "/new": body(DATA)})
    get(web.url("/old"), tmp_path / "x")
    assert web.asked == ["/old", "/new"]


@pytest.mark.parametrize("data", [DATA[:-1] + b"!", b"<html>Log in first</html>", b""])
def test_other_bytes_are_refused_with_both_hashes(web: Web, tmp_path: Path, data: bytes) -> None:
    web.answers["/x"] = body(data)
    told = refused(web.url("/x"), tmp_path / "x", BadContentError, PATIENCE)
    assert SHA256 in told
    assert hashlib.sha256(data).hexdigest() in told
    assert web.url("/x") in told


def test_the_old_file_stays_where_the_new_one_is_refused(web: Web, tmp_path: Path) -> None:
    web.answers["/x"] = body(b"other")
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(BadContentError):
        get(web.url("/x"), tmp_path / "x")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_too_long_is_given_up_early(web: Web, tmp_path: Path) -> None:
    web.answers["/x"] = endless
    told = refused(web.url("/x"), tmp_path / "x", BadContentError, PATIENCE)
    assert f"longer than the {len(DATA)} bytes" in told


def test_cut_off(web: Web, tmp_path: Path) -> None:
    web.answers["/x"] = body(DATA[:1000], promised=len(DATA))
    told = refused(web.url("/x"), tmp_path / "x", UnavailableError, PATIENCE)
    assert f"cut off after 1000 of {len(DATA)} bytes; try again" in told


def test_not_found(web: Web, tmp_path: Path) -> None:
    told = refused(web.url("/x"), tmp_path / "x", UnavailableError, PATIENCE)
    assert "404 Not Found" in told


def test_a_drip_runs_out_of_time(web: Web, tmp_path: Path) -> None:
    web.answers["/x"] = drip
    path = tmp_path / "x"
    with pytest.raises(UnavailableError, match="in 3 s; try again with more time"):
        fetch(
            Source(web.url("/x"), SHA256, len(DATA)), path, Patience(3.0), Ticking(),
            lambda _: None,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_is_left(web: Web, tmp_path: Path) -> None:
    done = threading.Event()

    def silent(handler: Handler) -> None:
        done.wait()

    web.answers["/x"] = silent
    try:
        told = refused(web.url("/x"), tmp_path / "x", UnavailableError, Patience(60.0, 0.05))
    finally:
        done.set()
    assert "timed out" in told or "silent for 0.05 s" in told


def test_nobody_there(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/x"
    assert "refused" in refused(url, tmp_path / "x", UnavailableError, PATIENCE)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "x", ""])
def test_only_the_web(url: str, tmp_path: Path) -> None:
    assert "use an https://" in refused(url, tmp_path / "x", BadContentError, PATIENCE)


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://127.0.0.1:x/"])
def test_broken_addresses(url: str, tmp_path: Path) -> None:
    assert url in refused(url, tmp_path / "x", UnavailableError, PATIENCE)


def test_a_folder_that_cannot_be_written_is_named(web: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match=r"file: .*; choose another folder"):
        get(web.url("/x"), tmp_path / "file" / "x")
    assert web.asked == [], "it fails before anything is fetched"
