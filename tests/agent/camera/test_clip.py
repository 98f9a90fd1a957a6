from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.base.clock import SystemClock
from agent.camera.clip import ClipSource
from agent.contract.errors import BadContentError, UnavailableError
from tests.makers import FakeClock

CLIPS = {
    "one-by-one-person-detection.mp4": (1394, 768, 432),
    "car-detection.mp4": (377, 768, 432),
    "dashcam-solidWhiteRight.mp4": (221, 960, 540),
    "store-aisle-detection-preview.mp4": (67, 480, 270),
}
SHORT = "store-aisle-detection-preview.mp4"


def numbers_of(source: ClipSource, most: int = 10_000) -> list[int]:
    source.open()
    numbers: list[int] = []
    while len(numbers) < most and (shot := source.read()) is not None:
        numbers.append(shot.number)
    source.close()
    return numbers


@pytest.mark.data
@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_of_the_real_clips(data_dir: Path, name: str) -> None:
    frames, width, height = CLIPS[name]
    source = ClipSource(f"file://{data_dir}/video/{name}", SystemClock())
    source.open()
    first = source.read()
    assert first is not None
    assert first.image.shape == (height, width, 3)
    assert numbers_of(source) == list(range(frames))


@pytest.mark.data
def test_a_looped_clip_starts_over(data_dir: Path) -> None:
    source = ClipSource(f"file://{data_dir}/video/{SHORT}?loop=1&start=60", SystemClock())
    assert numbers_of(source, 16) == [*range(60, 67), *range(60, 67), 60, 61]


@pytest.mark.data
def test_start_is_the_same_frame_as_counted_from_the_beginning(data_dir: Path) -> None:
    whole = ClipSource(f"file://{data_dir}/video/{SHORT}", SystemClock())
    whole.open()
    for _ in range(30):
        whole.read()
    counted = whole.read()
    whole.close()
    later = ClipSource(f"file://{data_dir}/video/{SHORT}?start=30", SystemClock())
    later.open()
    sought = later.read()
    later.close()
    assert counted is not None
    assert sought is not None
    assert (counted.number, sought.number) == (30, 30)
    assert np.array_equal(counted.image, sought.image)


@pytest.mark.data
@pytest.mark.parametrize("start", [67, 500])
def test_start_behind_the_end(data_dir: Path, start: int) -> None:
    source = ClipSource(f"file://{data_dir}/video/{SHORT}?start={start}", SystemClock())
    with pytest.raises(BadContentError, match=f"no frame {start}, only 67 can be read"):
        source.open()
    source.close()


@pytest.mark.data
def test_realtime_waits_as_the_clip_says(data_dir: Path) -> None:
    clock = FakeClock()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.pass_(seconds)

    source = ClipSource(f"file://{data_dir}/video/{SHORT}?realtime=1", clock, sleep)
    assert len(numbers_of(source)) == 67
    assert len(waits) == 66
    assert waits == pytest.approx([1 / 15] * 66)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    source = ClipSource(f"file://{tmp_path}/none.mp4", SystemClock())
    with pytest.raises(UnavailableError, match=r"none\.mp4: No such file"):
        source.open()


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 100, encoding="utf-8")
    source = ClipSource(f"file://{tmp_path}/text.mp4", SystemClock())
    with pytest.raises(BadContentError, match=r"text\.mp4: not a video"):
        source.open()


def test_reading_a_closed_one() -> None:
    with pytest.raises(UnavailableError):
        ClipSource("file:///x.mp4", SystemClock()).read()


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48)
    )
    for i in range(5):
        writer.write(np.full((48, 64, 3), i * 40, np.uint8))
    writer.release()
    monkeypatch.chdir(tmp_path)
    assert numbers_of(ClipSource("file://./a.avi", SystemClock())) == list(range(5))
    assert numbers_of(ClipSource("file://a.avi", SystemClock())) == list(range(5))
