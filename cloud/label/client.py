"""One question to one OpenAI-compatible service. Adapter.

The SDK's own patience is switched off: it would wait minutes inside a call. Deadline and size
hold for the whole body, and the body is read as bytes, so that nothing untrusted is believed.
"""

import logging
import os
import re
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import openai

from agent.contract.errors import UnavailableError
from cloud.config import LabelConfig
from cloud.label.answer import MAX_ANSWER_BYTES, NoReply, Reply, Trouble
from cloud.label.prompt import Question

# The SDK logs whole requests, pictures included, at DEBUG.
logging.getLogger("openai").setLevel(logging.INFO)
logging.getLogger("httpx2").setLevel(logging.WARNING)

HEADER: Final = "X-Secondlook-Look"
OPENAI_HOST: Final = "api.openai.com"
MAX_RETRY_AFTER_S: Final = 600.0
NEVER_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
"""Failures before the request left: nothing can be billed. After any other one it may be."""
_KEY: Final = re.compile(r"\b(sk|key)-[\w*-]+", re.ASCII)


class Client:
    """Asks questions. Safe for any number of threads.

    Raises:
        UnavailableError: the key is named but not there.
    """

    def __init__(self, config: LabelConfig) -> None:
        """Read the key and prepare connections; nothing is sent yet."""
        self._config = config
        self._is_openai = urlsplit(config.base_url).hostname == OPENAI_HOST
        self._key = read_key(config)
        self._openai = openai.OpenAI(
            api_key=self._key or "none",
            base_url=config.base_url,
            timeout=httpx2.Timeout(config.timeout_s, connect=min(10.0, config.timeout_s)),
            max_retries=0,
        )

    def close(self) -> None:
        """Close connections."""
        self._openai.close()

    def ask(self, question: Question, look_id: str) -> Reply | NoReply:
        """Send one question and wait for the whole answer."""
        started = time.monotonic()
        create = self._openai.chat.completions.with_streaming_response.create
        options: dict[str, Any] = self._options(question)
        try:
            with create(extra_headers={HEADER: look_id}, **options) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        break
                    if time.monotonic() - started > self._config.timeout_s:
                        return NoReply("timeout", "deadline passed within the body", billed=True)
                return Reply(bytes(body))
        except openai.APIStatusError as error:
            return self._status(error)
        except (openai.OpenAIError, httpx2.HTTPError, OSError) as error:
            return self._lost(error)

    def _lost(self, error: Exception) -> NoReply:
        # The SDK wraps what happened on the line.
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else error
        billed = not isinstance(cause, NEVER_SENT)
        if billed and isinstance(cause, httpx2.TimeoutException):
            detail = f"no answer within {self._config.timeout_s:g} s"
            return NoReply("timeout", detail, billed=True)
        detail = f"{self._config.base_url}: {cause or error}"
        return NoReply("unreachable", self._redact(detail), billed=billed)

    def _options(self, question: Question) -> dict[str, Any]:
        form = {"name": "second_look", "strict": True, "schema": question.schema}
        limit = self._config.max_output_tokens
        options: dict[str, Any] = {
            "model": self._config.model,
            "messages": question.messages,
            "response_format": {"type": "json_schema", "json_schema": form},
        }
        if self._is_openai:
            return {**options, "max_completion_tokens": limit, "store": False}
        return {**options, "max_tokens": limit}

    def _status(self, error: openai.APIStatusError) -> NoReply:
        code = str(error.code or "")
        detail = self._redact(f"{error.status_code} {code} {error.message}")
        return NoReply(_trouble(error.status_code, code, error.message), detail, _after(error))

    def _redact(self, text: str) -> str:
        clean = text.replace(self._key, "***") if self._key else text
        return _KEY.sub("***", clean)[:200]


def read_key(config: LabelConfig) -> str:
    """Return the API key; empty where none is configured.

    Raises:
        UnavailableError: it is named, but not there.
    """
    if config.key_file:
        try:
            return Path(config.key_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnavailableError(f"[label] key_file {config.key_file}: {error}") from error
    key = os.environ.get(config.api_key_env, "") if config.api_key_env else ""
    if not key and config.api_key_env and urlsplit(config.base_url).hostname == OPENAI_HOST:
        raise UnavailableError(
            f"[label] api_key_env: the environment variable {config.api_key_env} is not set;"
            " set it, or name a key_file"
        )
    return key


def _trouble(status: int, code: str, message: str) -> Trouble:
    if status == 429:
        return "quota" if "insufficient_quota" in f"{code} {message}" else "rate_limited"
    if status in (401, 403):
        return "auth"
    if status == 404:
        return "misconfigured"
    if status in (502, 503, 504, 529):
        return "unreachable"
    if status >= 500:
        return "server_error"
    return "refused" if "content_" in code else "bad_request"


def _after(error: openai.APIStatusError) -> float:
    try:
        wait = float(error.response.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S) if wait == wait else 0.0  # noqa: PLR0124 - NaN
