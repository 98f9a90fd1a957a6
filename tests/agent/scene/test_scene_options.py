import pytest

from agent.camera.scene.options import CONDITIONS, SceneOptions, parse_scene
from agent.contract.errors import BadContentError


def test_a_seed_alone_gives_the_defaults() -> None:
    assert parse_scene("scene://7") == SceneOptions(seed=7)


def test_everything_may_be_set() -> None:
    uri = (
        "scene://12?width=320&height=240&fps=12.5&frames=30&signs_per_minute=60"
        "&conditions=night,day&realtime=1"
    )
    assert parse_scene(uri) == SceneOptions(
        12, 320, 240, 12.5, 30, 60.0, ("day", "night"), realtime=True
    )


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("scene://", "seed '': use a whole number in 0..4294967295"),
        ("scene://4294967296", "seed '4294967296'"),
        ("scene://x", "seed 'x'"),
        ("scene://-1", "seed '-1'"),
        ("scene://1?width=100", "width=100: use a number in 160..1920"),
        ("scene://1?height=240.5", "height=240.5: use a whole number"),
        ("scene://1?fps=0", "fps=0: use a number in 1..120"),
        ("scene://1?fps=nan", "fps=nan: use a number in 1..120"),
        ("scene://1?frames=0", "frames=0: use a number in 1..10000000"),
        ("scene://1?signs_per_minute=lots", "signs_per_minute=lots: use a number in 1..240"),
        ("scene://1?conditions=day,hail", f"conditions=day,hail: use some of {CONDITIONS[0]}"),
        ("scene://1?conditions=", "conditions=: use some of"),
        ("scene://1?realtime=2", "realtime=2: use 1 or 0"),
        ("scene://1?speed=3", "unknown parameter 'speed'; known: width, height, fps"),
        ("scene://1?fps=3&fps=4", "'fps' is given twice"),
    ],
)
def test_a_wrong_query_names_key_value_and_range(uri: str, names: str) -> None:
    with pytest.raises(BadContentError) as caught:
        parse_scene(uri)
    assert names in str(caught.value)
