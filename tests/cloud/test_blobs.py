import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import UnavailableError
from cloud.blobs import Blobs, Place, ShardBuilder, tar_header

NAME = "looks/standard/2026/11/23/main.0001.tar"


@given(st.lists(st.binary(max_size=2_000), max_size=8), st.integers(0, 2**33 - 1))
def test_shards_are_tar_files_and_places_point_into_them(parts: list[bytes], at: int) -> None:
    shard = ShardBuilder(NAME)
    places = [shard.add(f"{n:032x}.context.jpg", part, at) for n, part in enumerate(parts)]
    data = shard.finish()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert [tar.extractfile(m).read() for m in members] == parts  # type: ignore[union-attr]
    assert [m.name for m in members] == [f"{n:032x}.context.jpg" for n in range(len(parts))]
    assert all(m.mtime == at and m.mode == 0o644 for m in members)
    assert [data[p.offset : p.offset + p.length] for p in places] == parts


def test_header_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        tar_header("a" * 101, 1, 1)
    with pytest.raises(ValueError, match="does not fit"):
        tar_header("a", 8**11, 1)


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_written_objects_are_read_listed_and_deleted(kind: str, tmp_path: Path) -> None:
    blobs = Blobs(f"file://{tmp_path}/objects" if kind == "file" else "memory:///")
    other = NAME.replace("11/23", "12/01")
    for name in (NAME, other):
        blobs.write(name, b"0123456789")
    assert blobs.read(Place(NAME, 3, 4)) == b"3456"
    assert blobs.read(Place(NAME, 3, 0)) == b""
    assert sorted(blobs.newest("looks/standard", 3)) == [NAME, other]
    blobs.delete([NAME, "looks/none.tar"])
    assert blobs.newest("looks/standard", 3) == [other]
    with pytest.raises(UnavailableError, match=r"main\.0001\.tar"):
        blobs.read(Place(NAME, 0, 1))


def test_newest_follows_the_last_days_only(tmp_path: Path) -> None:
    blobs = Blobs(f"file://{tmp_path}")
    names = [f"looks/standard/2026/11/{day:02d}/x.tar" for day in (1, 2, 3, 4)]
    for name in names:
        blobs.write(name, b"x")
    assert sorted(blobs.newest("looks/standard", 3)) == names[-2:]


def test_left_over_temp_files_are_tidied(tmp_path: Path) -> None:
    blobs = Blobs(f"file://{tmp_path}")
    blobs.write(NAME, b"x")
    left = (tmp_path / NAME).with_name("main.0002.tar.tmp")
    left.write_bytes(b"half")
    assert blobs.tidy() == 1
    assert not left.exists()
    assert (tmp_path / NAME).exists()


def test_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="file/objects"):
        Blobs(f"file://{tmp_path}/file/objects")
    blobs = Blobs(f"file://{tmp_path}/objects")
    (tmp_path / "objects" / "looks").write_text("in the way")
    with pytest.raises(UnavailableError, match="looks/standard"):
        blobs.write(NAME, b"x")
