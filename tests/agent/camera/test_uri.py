import pytest

from agent.camera.uri import parse_local
from agent.contract.errors import BadContentError


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("file:///srv/a.mp4", "/srv/a.mp4"),
        ("file://localhost/srv/a.mp4", "/srv/a.mp4"),
        ("file://./clips/A.mp4", "./clips/A.mp4"),
        ("file://Clips/a.mp4", "Clips/a.mp4"),
        ("file:clips/a.mp4", "clips/a.mp4"),
        ("dir:///srv/a%20b%3Fc#d", "/srv/a b?c#d"),
        ("rpicam://0?width=640", "0"),
    ],
)
def test_place_of_a_local_uri(uri: str, place: str) -> None:
    assert parse_local(uri, "width").place == place


def ask(uri: str) -> None:
    parsed = parse_local(uri, "limit", "loop")
    parsed.flag("loop")
    parsed.whole("limit", 0, 0, 100)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("dir:///x?limt=3", "unknown parameter 'limt'; known: limit, loop"),
        ("dir:///x?limit=3&limit=4", "given twice"),
        ("dir:///x?limit=three", "use a number in 0..100"),
        ("dir:///x?limit=nan", "use a number in 0..100"),
        ("dir:///x?limit=", "use a number in 0..100"),
        ("dir:///x?limit=101", "use a number in 0..100"),
        ("dir:///x?limit=1.5", "use a whole number"),
        ("dir:///x?loop=maybe", "use 1 or 0"),
    ],
)
def test_wrong_parameters_are_named(uri: str, said: str) -> None:
    with pytest.raises(BadContentError) as caught:
        ask(uri)
    assert said in str(caught.value)
    assert uri in str(caught.value)
