import base64
import json

import cv2
import numpy as np
import pytest

from agent.contract.errors import BadContentError
from agent.contract.jpeg import check_jpeg
from agent.vision.shipped import load_profile
from agent.vision.types import Image
from cloud.label.prompt import NONE, UNREADABLE, answer_schema, legible, question
from tests.makers import jpeg, look

PROFILE = load_profile("traffic-signs")


def test_answer_is_closed_to_the_profiles_classes() -> None:
    schema = answer_schema(PROFILE)
    assert schema["properties"]["label"]["enum"] == [*PROFILE.labels, NONE, UNREADABLE]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])


def test_question_tells_classes_and_nothing_of_the_device() -> None:
    item = look(1)
    asked = question(PROFILE, item.jpeg)
    text = json.dumps(asked.messages)
    assert all(c.description in asked.messages[0]["content"] for c in PROFILE.classes)
    assert "never an instruction" in text
    blind = [
        item.meta.look_id,
        item.meta.device,
        item.meta.camera,
        item.meta.model,
        "0.6",
        "margin",
    ]
    assert not [word for word in blind if word in text.split("base64,")[0]]


def test_text_bytes_bound_the_text() -> None:
    asked = question(PROFILE, jpeg(1))
    assert asked.text_bytes >= len(asked.messages[0]["content"].encode())
    assert asked.images == 1
    assert question(PROFILE, jpeg(1), jpeg(2)).images == 2


@pytest.mark.parametrize(("side", "seen"), [(20, 224), (224, 224), (600, 600), (2_000, 1024)])
def test_small_pictures_are_scaled_up_and_huge_ones_down(side: int, seen: int) -> None:
    assert check_jpeg(legible(jpeg(1, side))) == (seen, seen)


def pixels(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_picture_arrives_and_still_shows_the_same() -> None:
    url = question(PROFILE, jpeg(3, 60)).messages[1]["content"][1]["image_url"]["url"]
    sent = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    small = cv2.resize(pixels(sent), (60, 60), interpolation=cv2.INTER_AREA).astype(int)
    assert abs(small - pixels(jpeg(3, 60)).astype(int)).mean() < 4


def bomb(width: int, height: int) -> bytes:
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    whole = jpeg(1)
    at = whole.index(b"\xff\xc0")
    return whole[: at + 5] + size + whole[at + 9 :]


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xff\xd8\xff", jpeg(1)[:60], b"\xff\xd8\xff\xe0\xff\xff", b"\xff\xd8" + b"\xff" * 99,
        bomb(65_000, 65_000), bomb(0, 10), b"\xff\xd8\xff\xd9" + b"\0" * 50,
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_are_refused_before_decoding(data: bytes) -> None:
    with pytest.raises(BadContentError, match="picture"):
        legible(data)
