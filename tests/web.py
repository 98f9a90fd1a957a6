"""A web server on loopback that misbehaves as told."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by path; notes what was asked for."""

    answers: ClassVar[dict[str, Answer]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        answer = self.answers.get(self.path)
        if answer:
            answer(self)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base's name
        """Say nothing."""


def body(data: bytes, promised: int | None = None) -> Answer:
    """Gives `data`, having promised a length: its own, or more."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def endless(handler: Handler) -> None:
    """Promises nothing and goes on until the other side has had enough."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(64 * 1024))
    except OSError:
        pass


def drip(handler: Handler) -> None:
    """Gives a byte every few milliseconds: never silent, never done."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x")
            time.sleep(0.005)
    except OSError:
        pass


def moved(to: str) -> Answer:
    """Sends elsewhere."""

    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()

    return answer


class Web:
    """The server: put answers under paths, read what was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        handler = type("Own", (Handler,), {"answers": self.answers, "asked": self.asked})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"


@contextmanager
def serving() -> Iterator[Web]:
    """A running server of this test's own."""
    web = Web()
    thread = threading.Thread(target=web.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield web
    finally:
        web.server.shutdown()
        thread.join()
        web.server.server_close()
