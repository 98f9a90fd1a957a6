"""Signed messages: what counts, and why the rest does not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, Key

from agent.contract.envelope import Signed, check, open_envelope, sign
from agent.contract.errors import BadContentError
from agent.contract.messages import MAX_JSON_BYTES
from tests import makers

SIGNER = CryptoSigner.generate_ed25519()
KEYS: list[Key] = [SIGNER.public_key]
BODY: dict[str, Any] = {"settings": {"threshold": 0.4}}
KEYWORDS = st.text(max_size=9)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 2**53),
    st.sampled_from(["*", "cam-1"]),
    st.dictionaries(st.text(max_size=9), VALUES, max_size=4),
)
def test_round_trip(seq: int, audience: str, body: dict[str, Any]) -> None:
    signed = Signed(seq=seq, audience=audience, issued=1.5, expires=2.5, body=body)
    assert open_envelope(sign("advice", signed, SIGNER), "advice", KEYS) == signed


def test_only_a_trusted_key_counts() -> None:
    payload = makers.envelope(CryptoSigner.generate_ed25519(), "desired", BODY, 5)
    with pytest.raises(BadContentError, match=r"^signature: not made by"):
        open_envelope(payload, "desired", KEYS)
    with pytest.raises(BadContentError, match=r"^signature: no config key"):
        open_envelope(payload, "desired", [])


def test_a_message_of_one_channel_does_not_count_on_another() -> None:
    payload = makers.envelope(SIGNER, "advice", BODY, 5)
    with pytest.raises(BadContentError, match=r"^malformed: not a desired"):
        open_envelope(payload, "desired", KEYS)


def test_a_changed_channel_name_breaks_the_signature() -> None:
    body = json.loads(makers.envelope(SIGNER, "advice", BODY, 5))
    body["payloadType"] = body["payloadType"].replace("advice", "desired")
    with pytest.raises(BadContentError, match=r"^signature"):
        open_envelope(json.dumps(body).encode(), "desired", KEYS)


def test_unsigned_and_oversized_are_refused() -> None:
    body = json.loads(makers.envelope(SIGNER, "desired", BODY, 5))
    body["signatures"] = []
    with pytest.raises(BadContentError, match=r"^(signature|malformed)"):
        open_envelope(json.dumps(body).encode(), "desired", KEYS)
    with pytest.raises(BadContentError, match=r"^malformed: .* at most"):
        open_envelope(b" " * (MAX_JSON_BYTES + 1), "desired", KEYS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"audience": "*"}, ""),
        ({"audience": "cam-2"}, "audience"),
        ({"expires": makers.NOW}, "expired"),
        ({"expires": makers.NOW + 0.1}, ""),
        ({"seq": 4}, "replay"),
        ({"seq": 3}, "replay"),
    ],
)
def test_who_when_and_once(changes: dict[str, Any], reason: str) -> None:
    values = {"seq": 5, "audience": "cam-1", "issued": 0.0, "expires": makers.NOW + 9, "body": {}}
    signed = Signed.model_validate({**values, **changes})
    if not reason:
        check(signed, "cam-1", 4, makers.NOW)
        return
    with pytest.raises(BadContentError, match=rf"^{reason}: "):
        check(signed, "cam-1", 4, makers.NOW)
