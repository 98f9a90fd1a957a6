"""A look in fewer bytes, for brokers that take no more. Pure."""

from typing import Final

import cv2
import numpy as np

from agent.contract.codec import Look, encode_look
from agent.contract.errors import BadContentError
from agent.crops import fit_jpeg

QUALITY: Final = 80
SLACK_BYTES: Final = 16
"""CBOR's lengths take a few bytes less for smaller pictures, never more than these."""


def fitted(look: Look, max_bytes: int) -> bytes | None:
    """Encode a look in at most `max_bytes`: first without its context, then with a smaller crop.

    Returns:
        The payload; None where not even the smallest readable crop fits.
    """
    plain = Look(look.meta.model_copy(update={"context": "none"}), look.jpeg)
    payload = encode_look(plain)
    if len(payload) <= max_bytes:
        return payload
    decoded = cv2.imdecode(np.frombuffer(look.jpeg, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        return None
    image = np.asarray(decoded, np.uint8)
    room = max_bytes - (len(payload) - len(look.jpeg)) - SLACK_BYTES
    try:
        jpeg = fit_jpeg(image, max(image.shape[:2]), QUALITY, room)
    except BadContentError:
        return None
    return encode_look(Look(plain.meta, jpeg))
