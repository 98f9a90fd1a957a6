"""Files that are cut off or garbled never reach the interpreter."""

import random
import struct
from pathlib import Path

import pytest

from agent.contract.errors import BadContentError
from agent.vision.flatfile import check_whole
from tests import mutate

FIXTURES = Path(__file__).resolve().parents[2] / "data"
MODELS = sorted(FIXTURES.glob("*.tflite"))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_whole_files_pass_and_every_shorter_one_is_refused(path: Path) -> None:
    data = path.read_bytes()
    check_whole(data)
    check_whole(data + b"PK appended")
    for length in range(len(data)):
        with pytest.raises(BadContentError, match="copy it again"):
            check_whole(data[:length])


@pytest.mark.data
def test_stock_files_pass(data_dir: Path) -> None:
    paths = sorted((data_dir / "models").rglob("*.tflite"))
    assert len(paths) >= 6
    for path in paths:
        check_whole(path.read_bytes())


def test_garbled_files_raise_nothing_but_our_error() -> None:
    rng = random.Random(1)
    payloads = [p.read_bytes() for p in MODELS]
    bits = [b"\xff" * 4, b"\x00" * 8, b"\x7f\xff\xff\xff", b"TFL3", b"\x04\x00\x00\x00"]
    refused = 0
    for data in mutate.damaged(payloads, 5_000, bits, rng):
        try:
            check_whole(data)
        except BadContentError:
            refused += 1
    assert refused > 1_000


def table_with_vector(field: int, count: int, skip: int) -> bytes:
    """A table whose one field is a vector of `count` references `skip` bytes past its end."""
    vtable = struct.pack("<HH", 4 + 2 * (field + 1), 8) + bytes(2 * field) + struct.pack("<H", 4)
    table = struct.pack("<iII", len(vtable), 4, count)
    references = (struct.pack("<I", 4 * (count - i) + skip) for i in range(count))
    return vtable + table + b"".join(references)


def test_a_thicket_of_references_ends_soon() -> None:
    # 300,000 subgraphs that are one and the same, with 300,000 operators each.
    count = 300_000
    # Each reference skips the vtable of the table it is for.
    model = table_with_vector(2, count, skip=12)
    subgraph = table_with_vector(3, count, skip=4)
    operator = struct.pack("<HHi", 4, 8, 4) + bytes(4)
    data = struct.pack("<I", 8 + 10) + b"TFL3" + model + subgraph + operator
    with pytest.raises(BadContentError) as refusal:
        check_whole(data)
    assert "too many tables" in str(refusal.value.__cause__)
