"""A real HTTP server that speaks the OpenAI wire format from a script.

The default answer is the label of `truth(look_id)`. `script` puts other answers in front of it:
each is a name in `scripted`, or `timeout`, or `hang_up`.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast, final

Answer = tuple[int, dict[str, str], bytes]
USAGE = {"prompt_tokens": 1_000, "completion_tokens": 20, "total_tokens": 1_020}


def completion(content: str | None, *, finish: str = "stop", refusal: str | None = None) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps(
        {"id": "c-1", "object": "chat.completion", "choices": [choice], "usage": USAGE}
    ).encode()


def said(label: str, confidence: float = 0.95) -> bytes:
    form = {"label": label, "confidence": confidence, "reason": "as it looks"}
    return completion(json.dumps(form))


def problem(status: int, code: str, **headers: str) -> Answer:
    body = {"error": {"message": f"told: {code}", "type": code, "code": code}}
    return status, headers, json.dumps(body).encode()


def scripted(name: str) -> Answer:
    answers: dict[str, Answer] = {
        "refusal": (200, {}, completion(None, refusal="I cannot help with that")),
        "content_filter": (200, {}, completion(None, finish="content_filter")),
        "off_list": (200, {}, said("a purple elephant")),
        "malformed": (200, {}, completion("it looks like a stop sign to me")),
        "confidence_7": (200, {}, said("Stop", 7.0)),
        "truncated": (200, {}, completion('{"label": "st', finish="length")),
        "none": (200, {}, said("none-of-these")),
        "unreadable": (200, {}, said("unreadable")),
        "unsure": (200, {}, said("Stop", 0.2)),
        "rate_limit": problem(429, "rate_limit_exceeded", **{"Retry-After": "1"}),
        "quota": problem(429, "insufficient_quota"),
        # OpenAI repeats a part of the key.
        "auth": problem(401, "invalid_api_key sk-proj-verysecret1"),
        "no_model": problem(404, "model_not_found"),
        "bad_request": problem(400, "invalid_request_error"),
        "policy": problem(400, "content_policy_violation"),
        "error": problem(500, "server_error"),
        "overloaded": problem(503, "overloaded"),
        "html": (200, {"Content-Type": "text/html"}, b"<html><body>Sign in</body></html>"),
        "no_choices": (200, {}, json.dumps({"choices": [], "usage": USAGE}).encode()),
        "huge": (200, {}, b'{"choices": [' + b" " * 1_000_000 + b"]}"),
    }
    return answers[name]


@final
class LlmServer:
    """Answers on loopback while entered."""

    def __init__(
        self,
        truth: Callable[[str], str] = lambda _: "Stop",
        script: Iterable[str] = (),
    ) -> None:
        self.truth = truth
        self.script: deque[str] = deque(script)
        self.requests: list[dict[str, Any]] = []
        self.looks: list[str] = []
        self.keys: list[str] = []
        self.release = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        cast("Any", self._server).llm = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "LlmServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, look_id: str, key: str, request: dict[str, Any]) -> Answer:
        with self._lock:
            self.keys.append(key)
            self.requests.append(request)
            self.looks.append(look_id)
            name = self.script.popleft() if self.script else ""
        if name == "hang_up":
            raise ConnectionAbortedError(name)
        if name == "timeout":
            self.release.wait(30)
        if not name or name == "timeout":
            return 200, {}, said(self.truth(look_id))
        return scripted(name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed leaves a broken connection: nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        llm: LlmServer = cast("Any", self.server).llm
        size = int(self.headers["Content-Length"])
        request = json.loads(self.rfile.read(size))
        look_id = self.headers.get("X-Secondlook-Look", "")
        try:
            status, headers, body = llm.answer(
                look_id, self.headers.get("Authorization", ""), request
            )
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
