import time
from pathlib import Path

import pytest

from agent.contract.errors import UnavailableError
from agent.vision.shipped import load_profile
from cloud.config import LabelConfig
from cloud.label.answer import MAX_ANSWER_BYTES, NoReply, Reply, read_completion
from cloud.label.client import Client
from cloud.label.prompt import question
from tests.conftest import free_port
from tests.llm_server import LlmServer
from tests.makers import an_id, jpeg

PROFILE = load_profile("traffic-signs")
QUESTION = question(PROFILE, jpeg(1))
SECRET = "sk-proj-verysecret123456"


def config(llm: LlmServer, **changes: object) -> LabelConfig:
    values = {"base_url": llm.url, "api_key_env": "", "timeout_s": 5, **changes}
    return LabelConfig.model_validate(values)


def asked(llm: LlmServer, **changes: object) -> Reply | NoReply:
    client = Client(config(llm, **changes))
    try:
        return client.ask(QUESTION, an_id(1))
    finally:
        client.close()


def test_one_request_carries_question_schema_and_look_id() -> None:
    with LlmServer() as llm:
        reply = asked(llm)
    assert isinstance(reply, Reply)
    assert read_completion(reply.body, frozenset(PROFILE.labels))[0].__class__.__name__ == "Answer"
    assert llm.looks == [an_id(1)]
    request = llm.requests[0]
    assert request["response_format"]["json_schema"]["strict"] is True
    assert request["max_tokens"] == 300
    assert "tools" not in request
    assert an_id(1) not in str(request)


@pytest.mark.parametrize(
    ("name", "trouble"),
    [
        ("rate_limit", "rate_limited"),
        ("quota", "quota"),
        ("auth", "auth"),
        ("no_model", "misconfigured"),
        ("bad_request", "bad_request"),
        ("policy", "refused"),
        ("error", "server_error"),
        ("overloaded", "unreachable"),
    ],
)
def test_errors_are_named_after_a_single_request(name: str, trouble: str) -> None:
    with LlmServer(script=[name]) as llm:
        reply = asked(llm)
    assert isinstance(reply, NoReply)
    assert reply.trouble == trouble
    assert not reply.billed
    assert len(llm.requests) == 1
    assert reply.retry_after_s == (1.0 if name == "rate_limit" else 0.0)


def test_timeout_is_short_and_counts_as_billed() -> None:
    with LlmServer(script=["timeout"]) as llm:
        started = time.monotonic()
        reply = asked(llm, timeout_s=0.3)
        assert time.monotonic() - started < 10  # the SDK's own would be 600 s, three times
    assert isinstance(reply, NoReply)
    assert (reply.trouble, reply.billed) == ("timeout", True)


def test_service_that_is_not_there_is_unreachable() -> None:
    client = Client(LabelConfig(base_url=f"http://127.0.0.1:{free_port()}/v1", api_key_env=""))
    reply = client.ask(QUESTION, an_id(1))
    client.close()
    assert isinstance(reply, NoReply)
    assert (reply.trouble, reply.billed) == ("unreachable", False)


def test_connection_lost_after_the_request_counts_as_billed() -> None:
    with LlmServer(script=["hang_up"]) as llm:
        reply = asked(llm)
    assert isinstance(reply, NoReply)
    assert (reply.trouble, reply.billed) == ("unreachable", True)


def test_html_and_huge_bodies_come_back_as_bytes_of_bounded_size() -> None:
    with LlmServer(script=["html", "huge"]) as llm:
        html, huge = asked(llm), asked(llm)
    assert isinstance(html, Reply)
    assert html.body.startswith(b"<html>")
    assert isinstance(huge, Reply)
    assert MAX_ANSWER_BYTES < len(huge.body) < 1_000_000


def test_key_is_sent_and_never_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    with LlmServer(script=["auth"]) as llm:
        reply = asked(llm, key_file=str(file))
        monkeypatch.setenv("MY_KEY", SECRET)
        assert isinstance(asked(llm, api_key_env="MY_KEY"), Reply)
    assert llm.keys == [f"Bearer {SECRET}"] * 2
    assert SECRET not in str(reply)
    assert "verysecret" not in str(reply)


def test_missing_keys_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UnavailableError, match="OPENAI_API_KEY"):
        Client(LabelConfig())
    with pytest.raises(UnavailableError, match="key_file"):
        Client(LabelConfig(key_file=str(tmp_path / "none")))
