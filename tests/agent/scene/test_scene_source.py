import numpy as np
import pytest

from agent.camera.base import Shot, Source
from agent.camera.scene.options import parse_scene
from agent.camera.scene.source import SceneSource
from agent.camera.scene.world import Scene
from agent.contract.errors import BadContentError, UnavailableError

SMALL = "scene://4?width=160&height=120&frames=5"


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 100.0
        self.slept: list[float] = []

    def now(self) -> float:
        return 1e9 + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


def read_all(source: Source) -> list[Shot]:
    shots = []
    while shot := source.read():
        shots.append(shot)
    return shots


def test_every_frame_comes_once_without_waiting() -> None:
    clock = FakeClock()
    source = SceneSource(SMALL, clock, clock.sleep)
    assert not source.live
    assert not source.still
    source.open()
    shots = read_all(source)
    assert [shot.number for shot in shots] == [0, 1, 2, 3, 4]
    assert clock.slept == []
    scene = Scene(parse_scene(SMALL))
    assert all(np.array_equal(shot.image, scene.render(shot.number)) for shot in shots)
    assert source.read() is None


def test_it_may_be_opened_again_and_starts_anew() -> None:
    source = SceneSource(SMALL, FakeClock())
    source.close()
    source.open()
    source.read()
    source.close()
    source.close()
    with pytest.raises(UnavailableError, match="not open"):
        source.read()
    source.open()
    shot = source.read()
    assert shot is not None
    assert shot.number == 0


def test_a_live_scene_keeps_its_pace() -> None:
    clock = FakeClock()
    source = SceneSource(SMALL + "&fps=10&realtime=1", clock, clock.sleep)
    assert source.live
    source.open()
    assert [shot.number for shot in read_all(source)] == [0, 1, 2, 3, 4]
    assert clock.seconds == pytest.approx(100.5)


def test_a_live_scene_skips_what_came_too_late() -> None:
    clock = FakeClock()
    source = SceneSource(SMALL + "&fps=10&realtime=1", clock, clock.sleep)
    source.open()
    first = source.read()
    clock.seconds += 0.35
    second = source.read()
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 3)
    clock.seconds += 10
    assert source.read() is None


def test_a_wrong_uri_is_refused_before_it_is_opened() -> None:
    with pytest.raises(BadContentError, match="frames=0"):
        SceneSource("scene://4?frames=0", FakeClock())
