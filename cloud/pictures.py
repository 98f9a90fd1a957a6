"""The bytes of an image file become pixels, or a reason why not. Pure."""

import cv2
import numpy as np

from agent.vision.types import Image


def decoded(data: bytes) -> Image | str:
    """Return the BGR uint8 image that a file holds, or the reason why there is none."""
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        # OpenCV says which of its limits it is: CV_IO_MAX_IMAGE_PIXELS, _WIDTH or _HEIGHT.
        big = "MAX_IMAGE" in error.err or error.code == cv2.Error.StsNoMem
        return "too large for OpenCV" if big else "not an image that OpenCV reads"
    return "not an image that OpenCV reads" if image is None else np.asarray(image, np.uint8)
