"""An MJPEG camera on loopback that tests can stall, cut and bring back."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

BOUNDARY = "frame"
PERIOD_S = 1 / 30


def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    """Wait for a condition; False where it does not come true in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def jpegs_of(clip: Path, count: int) -> list[bytes]:
    """The first frames of a clip, each as JPEG."""
    capture = cv2.VideoCapture(str(clip))
    frames = [capture.read()[1] for _ in range(count)]
    capture.release()
    return [cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames]


class MjpegCamera:
    """Serves pictures in a circle as multipart/x-mixed-replace."""

    def __init__(self, pictures: Sequence[bytes], period_s: float = PERIOD_S) -> None:
        self.pictures = list(pictures)
        self.period_s = period_s
        self.connections = 0
        self.served = 0
        self.stalled = threading.Event()
        self._off = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://user:geheim@127.0.0.1:{self.port}/video.mjpg"

    def start(self) -> None:
        self._off.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = False  # So that close waits for them.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def cut(self) -> None:
        """Pull the plug: connections end, new ones are refused."""
        self._off.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                self.end_headers()
                try:
                    while not camera._off.wait(camera.period_s):
                        if not camera.stalled.is_set():
                            self._send(camera.pictures[camera.served % len(camera.pictures)])
                            camera.served += 1
                except OSError:
                    pass  # The other side hung up.

            def _send(self, picture: bytes) -> None:
                head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                pass

        return Handler
