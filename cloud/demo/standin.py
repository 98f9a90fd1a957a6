"""A stand-in for a vision LLM: an HTTP server that speaks the OpenAI wire format. Adapter.

No model is behind it. It finds the look by the id in the request's header, asks the scene for the
truth, and answers wrongly at a stated rate. The prompt itself is the one a real model would get.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from typing_extensions import Self

log = logging.getLogger(__name__)

LOOK_HEADER: Final = "X-Secondlook-Look"
NONE: Final = "none-of-these"
UNREADABLE: Final = "unreadable"
IMAGE_TOKENS: Final = 85
"""What OpenAI's tile models count for one low-detail picture."""
CHARACTERS_PER_TOKEN: Final = 4
MAX_REQUEST: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Truth:
    """What the scene knows about one look."""

    label: str | None
    """None: nothing of the profile."""
    readable: bool
    """False where nobody could tell from the pixels."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the stand-in says."""

    label: str
    confidence: float
    reason: str


def answer(look_id: str, truth: Truth, labels: tuple[str, ...], error_rate: float) -> Answer:
    """Answer like a labeller that errs at a rate; the same look gets the same answer.

    Args:
        look_id: Fixes the chance.
        truth: What is there.
        labels: The profile's classes.
        error_rate: Share of readable looks answered with another class, 0..1.
    """
    chance = hashlib.sha256(look_id.encode()).digest()
    if not truth.readable:
        return Answer(UNREADABLE, 0.9, "too dark, blurred or small")
    right = truth.label or NONE
    if int.from_bytes(chance[:4], "big") / 2**32 >= error_rate:
        return Answer(right, 0.97, "clearly visible")
    wrong = [label for label in (*labels, NONE) if label != right]
    return Answer(wrong[int.from_bytes(chance[4:8], "big") % len(wrong)], 0.8, "looks like it")


class StandIn:
    """The server; a context manager. `url` is its OpenAI base URL.

    Args:
        truth_of: Look id to truth; None for an unknown look (answered with HTTP 404).
        labels: The profile's classes.
        error_rate: See `answer`.
    """

    def __init__(
        self,
        truth_of: Callable[[str], Truth | None],
        labels: tuple[str, ...],
        error_rate: float,
    ) -> None:
        """Bind a free port on loopback."""
        self.calls = 0
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            """Answers POST /v1/chat/completions."""

            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                """Answer one request."""
                size = int(self.headers.get("Content-Length", "0"))
                if size > MAX_REQUEST:
                    self._reply(413, {"error": {"message": "too large"}})
                    return
                request = json.loads(self.rfile.read(size))
                look_id = self.headers.get(LOOK_HEADER, "")
                truth = truth_of(look_id)
                if truth is None:
                    self._reply(404, {"error": {"message": f"no look {look_id[:40]!r}"}})
                    return
                stand_in.calls += 1
                said = answer(look_id, truth, labels, error_rate)
                self._reply(200, completion(request, said))

            def _reply(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
                """Send the server's own lines to debug."""
                log.debug(format, *args)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="stand-in")
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def completion(request: dict[str, Any], said: Answer) -> dict[str, Any]:
    """Return a chat completion in OpenAI's form, with a token count of what was really sent."""
    text, images = _measure(request)
    content = json.dumps(
        {"label": said.label, "confidence": said.confidence, "reason": said.reason}
    )
    tokens_in = text // CHARACTERS_PER_TOKEN + images * IMAGE_TOKENS
    tokens_out = len(content) // CHARACTERS_PER_TOKEN
    return {
        "id": "chatcmpl-standin",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", ""),
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": content, "refusal": None},
            }
        ],
        "usage": {
            "prompt_tokens": tokens_in,
            "completion_tokens": tokens_out,
            "total_tokens": tokens_in + tokens_out,
        },
    }


def _measure(request: dict[str, Any]) -> tuple[int, int]:
    """Count characters of text and pictures in a request."""
    text = images = 0
    for message in request.get("messages", []):
        content = message.get("content", "")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            images += part.get("type") == "image_url"
            text += len(part.get("text", ""))
    return text, images
