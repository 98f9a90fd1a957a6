"""Raw BGR frames from picamera2 to standard output. Shell.

Run by the system's Python, never imported: `picamera2_child.py CAMERA WIDTH HEIGHT FPS`.
"""

import sys

from picamera2 import Picamera2


def main(camera: int, width: int, height: int, fps: int) -> None:
    """Write frames until nobody reads them."""
    picam = Picamera2(camera)
    # libcamera's RGB888 is blue, green, red in memory.
    main_stream = {"size": (width, height), "format": "RGB888"}
    picam.configure(
        picam.create_video_configuration(main=main_stream, controls={"FrameRate": float(fps)})
    )
    picam.start()
    try:
        while True:
            # The array is without the padding of rows; tobytes makes it one piece.
            sys.stdout.buffer.write(picam.capture_array("main")[:, :, :3].tobytes())
            sys.stdout.buffer.flush()
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    finally:
        picam.stop()


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:5]))
