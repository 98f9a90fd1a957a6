"""Row 54: pictures made to harm who decodes them."""

import json
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from agent.contract.codec import MAX_LOOK_BYTES, Look, decode_look, encode_look
from agent.contract.errors import BadContentError
from agent.contract.jpeg import MAX_SCANS, check_jpeg
from cloud.label.prompt import legible
from tests.contract.test_jpeg import framed, headed, segment
from tests.faults.case import Case
from tests.makers import jpeg, look, picture

START, END = b"\xff\xd8\xff", b"\xff\xd9"
RSS_MIB = 150
HANG_S = 20.0


def coded(kind: str, *options: int) -> bytes:
    return bytes(cv2.imencode(kind, picture(1), options)[1].tobytes())


def png_bomb() -> bytes:
    """10 kB that are 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 1, 0, 0, 0, 0))
    lines = chunk(b"IDAT", zlib.compress(bytes(10_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + head + lines + chunk(b"IEND", b"")


def progressive(scans: int, side: int = 2_048) -> bytes:
    """Each scan of a progressive picture is another walk over all its pixels."""
    image = np.zeros((side, side), np.uint8)
    whole = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    assert whole.count(b"\xff\xda") <= scans
    return bytes(whole[:-2] + last * (scans - whole.count(b"\xff\xda")) + END)


def malicious() -> Iterator[tuple[str, bytes]]:
    """Refused from their first bytes, their headers or their size."""
    whole = jpeg(1)
    yield "PNG", coded(".png")
    yield "GIF", b"GIF89a" + bytes(200) + END
    yield "TIFF", coded(".tiff")
    yield "WebP", coded(".webp")
    yield "BMP", coded(".bmp")
    yield "PDF", b"%PDF-1.7\n" + whole + b"\n%%EOF"
    yield "SVG", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    yield "PNG bomb", png_bomb()
    yield "PNG behind three bytes", START + coded(".png") + END
    yield "65000 x 65000", framed(5, b"\xfd\xe8\xfd\xe8")
    yield "wide", framed(5, b"\x00\x01\xff\xff")[:-2]
    yield "height told later", framed(5, b"\0\0")
    yield "HTML behind", whole + b"<script>alert(1)</script>"
    yield "ZIP behind", whole + b"PK\x05\x06" + bytes(18)
    yield "HTML in a comment", headed(segment(0xFE, b"*/--><html><script>alert(1)</script>"))
    yield "PHP in EXIF", headed(segment(0xE1, b"Exif\0\0<?php system($_GET[0]); ?>"))
    yield "huge EXIF", headed(segment(0xE1, b"Exif\0\0" + bytes(60_000)))
    yield "huge ICC", headed(segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)))
    yield "truncated", whole[: len(whole) // 2]
    yield "CMYK", framed(9, b"\4")
    yield "12 bits", framed(4, b"\x0c")
    yield "lossless", framed(1, b"\xc3")
    yield "arithmetic", framed(1, b"\xc9")
    yield "100,000 restart markers", whole[:-2] + b"\xff\xd0" * 100_000 + END
    yield "progressive bomb", progressive(3_000)
    yield "one scan too many", progressive(MAX_SCANS + 1)
    yield "segment of no length", whole[:2] + b"\xff\xdb\0\0" + whole[2:]


def endless() -> Iterator[tuple[str, bytes]]:
    """Pictures by all their headers; what they may cost is what the limits allow."""
    large = cv2.imencode(".jpg", np.zeros((2_048, 2_048, 3), np.uint8))[1].tobytes()
    yield "as large as may be", large
    yield "as many scans as may be", progressive(MAX_SCANS)
    whole = jpeg(1)
    scan = whole.index(b"\xff\xda") + 14
    yield "no pixels", whole[:scan] + END
    yield "40,000 restart markers", whole[:scan] + b"\xff\xd0" * 40_000 + END
    at = large.index(b"\xff\xda") + 14
    yield "restart markers, large", large[:at] + b"\xff\xd3\xff\xd7" * 12_000 + END
    yield "noise", whole[:scan] + bytes(range(255)) * 300 + END


@pytest.mark.fault(54, cheap=True)
def test_pictures_that_no_decoder_sees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = dict(malicious())

    def seen(*_: object) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(cv2, "imdecode", seen)
    refused, slowest = 0, 0.0
    for data in bad.values():
        began = time.thread_time()
        # Its hash is right: the sender means it.
        with pytest.raises(BadContentError):
            arrive(data)
        if len(data) <= MAX_LOOK_BYTES:
            with pytest.raises(BadContentError):
                legible(data)
        refused += 1
        slowest = max(slowest, time.thread_time() - began)
    case.record(len(bad), refused=refused, slowest_cpu_ms=round(slowest * 1e3, 1))


def arrive(data: bytes) -> None:
    """Be the picture of a look, and its context."""
    if len(data) > MAX_LOOK_BYTES - 3_000:  # the whole message is refused for its size
        with pytest.raises(BadContentError, match="at most"):
            encode_look(Look(look(1).meta, data))
        raise BadContentError("too large")
    for item in (Look(look(1).meta, data), Look(look(1).meta, jpeg(1), data)):
        with pytest.raises(BadContentError, match=r"look (jpeg|context): "):
            decode_look(encode_look(item))
    raise BadContentError("both refused")


CHILD = """
import json, time
from pathlib import Path
from agent.contract.errors import BadContentError
from cloud.label.prompt import legible
from tests.faults.test_pictures import endless

def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

pictures = dict(endless())
found = []
for name, data in pictures.items():
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before, began = kib("VmRSS"), time.process_time()
    try:
        legible(data)
    except BadContentError:
        pass
    found.append((name, time.process_time() - began, (kib("VmHWM") - before) / 1024))
print(json.dumps(found))
"""


@pytest.mark.fault(54, cheap=True)
def test_pictures_that_pass_cost_little(case: Case) -> None:
    """In a process of their own, so that what they cost is theirs."""
    for data in dict(endless()).values():
        check_jpeg(data)
    child = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, check=True, timeout=120
    )
    found = json.loads(child.stdout)
    slowest, largest = max(row[1] for row in found), max(row[2] for row in found)
    case.record(len(found), slowest_cpu_s=round(slowest, 2), rss_growth_mib=round(largest))
    assert largest < RSS_MIB
    assert slowest < HANG_S
