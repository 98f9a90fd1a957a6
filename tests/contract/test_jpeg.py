"""What may be given to a decoder, and what is refused from its headers alone."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.contract.jpeg import check_jpeg
from tests.makers import jpeg, picture

PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]


def segment(kind: int, data: bytes) -> bytes:
    return bytes((0xFF, kind)) + (len(data) + 2).to_bytes(2, "big") + data


def headed(data: bytes, whole: bytes | None = None) -> bytes:
    """A good picture with segments put before all others."""
    whole = whole or jpeg(1)
    return whole[:2] + data + whole[2:]


def framed(at: int, data: bytes) -> bytes:
    """A good picture whose frame header is changed, counted from the header's first byte."""
    whole = bytearray(jpeg(1))
    start = whole.index(b"\xff\xc0") + at
    whole[start : start + len(data)] = data
    return bytes(whole)


@pytest.mark.parametrize("options", [[], PROGRESSIVE, RESTARTS])
def test_size_is_read_from_the_header(options: list[int]) -> None:
    image = np.ascontiguousarray(picture(1, 77)[:31])
    assert check_jpeg(cv2.imencode(".jpg", image, options)[1].tobytes()) == (77, 31)
    grey = cv2.imencode(".jpg", image[:, :, 0], options)[1].tobytes()
    assert check_jpeg(grey) == (77, 31)


def bad() -> Iterator[tuple[str, str, bytes]]:
    whole = jpeg(1)
    scan = whole[whole.index(b"\xff\xda") : -2]
    yield "empty", "not a JPEG", b""
    yield "start only", "whole", b"\xff\xd8\xff"
    yield "cut", "whole", whole[:60]
    yield "something behind", "whole", whole + b"<script>alert(1)</script>"
    yield "no frame", "0xffda", whole[:2] + scan + whole[-2:]
    yield "end first", "0xffd9", b"\xff\xd8\xff\xd9" + b"\0" * 50 + b"\xff\xd9"
    yield "no segment", "0xffff", b"\xff\xd8" + b"\xff" * 99 + b"\xff\xd9"
    yield "too large", "pixels", framed(5, b"\xfd\xe8\xfd\xe8")
    yield "no height", "pixels", framed(5, b"\0\0")
    yield "CMYK", "components", framed(9, b"\4")
    yield "12 bits", "bits", framed(4, b"\x0c")
    yield "lossless", "0xffc3", framed(1, b"\xc3")
    yield "arithmetic", "0xffc9", framed(1, b"\xc9")
    yield "two frames", "0xffc0", headed(whole[(at := whole.index(b"\xff\xc0")) : at + 19])
    yield "EXIF", "0xffe1", headed(segment(0xE1, b"Exif\0\0GPS 52.1 11.6"))
    yield "large ICC", "0xffe2", headed(segment(0xE2, bytes(60_000)))
    yield "comment", "0xfffe", headed(segment(0xFE, b"<html>"))
    yield "thumbnail", "0xffe0", headed(segment(0xE0, bytes(5_000)))
    many = cv2.imencode(".jpg", picture(1), PROGRESSIVE)[1].tobytes()
    some = many[many.rindex(b"\xff\xda") : -2]
    yield "scans", "scans", many[:-2] + some * 7 + many[-2:]
    one = bytes((0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0))
    yield "scans of a part", "scans", whole[: whole.index(b"\xff\xda")] + one * 17 + whole[-2:]


@pytest.mark.parametrize(("why", "data"), [pytest.param(w, d, id=n) for n, w, d in bad()])
def test_what_no_decoder_should_see_is_refused(why: str, data: bytes) -> None:
    with pytest.raises(BadContentError, match=why):
        check_jpeg(data)


def test_any_cut_of_a_picture_is_refused() -> None:
    whole = jpeg(1)
    for end in range(len(whole)):
        with pytest.raises(BadContentError):
            check_jpeg(whole[:end])
