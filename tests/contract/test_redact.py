import pytest

from agent.contract.config import parse_config
from agent.contract.errors import BadContentError
from agent.contract.redact import redacted


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://admin:geheim@10.0.0.7/stream",
        "rtsp://admin:pa/geheim#1?@10.0.0.7/stream",
        "rtsp://geheim@10.0.0.7/stream",
        "http://10.0.0.7/video?user=geheim&pwd=geheim&size=2",
        "http://10.0.0.7/video?size=2&access_token=geheim",
        "stream rtsp://a:geheim@h/x: no stream, rtsp://a:geheim@h/x",
    ],
)
def test_secrets_are_hidden(uri: str) -> None:
    hidden = redacted(uri)
    assert "geheim" not in hidden
    assert "***" in hidden


def test_what_is_no_secret_stays() -> None:
    assert redacted("http://10.0.0.7:81/video?size=2") == "http://10.0.0.7:81/video?size=2"
    assert redacted("rtsp://u:p@10.0.0.7/s?size=2") == "rtsp://***@10.0.0.7/s?size=2"


def test_a_config_error_does_not_tell_the_password() -> None:
    camera = {"name": "gate", "uri": f"rtmp://admin:geheim{'x' * 80}@10.0.0.7/stream"}
    with pytest.raises(BadContentError, match=r"camera\.0\.uri: .*rtmp") as caught:
        parse_config({"device": "cam-1", "camera": [camera]}, "device.toml")
    assert "geheim" not in str(caught.value)
