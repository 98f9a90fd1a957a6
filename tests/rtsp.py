"""A small RTSP camera on loopback: FFmpeg sends a clip as RTP, we hand it on over TCP."""

import socket
import socketserver
import subprocess
import threading
from pathlib import Path

from typing_extensions import Self


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspCamera:
    """Serves one client at a time, RTP over TCP only; remembers what it was asked."""

    def __init__(self, clip: Path) -> None:
        self.asked: list[str] = []
        self._clip = clip
        self._off = threading.Event()
        self._server = socketserver.TCPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._server.server_address[1]}/clip"

    def close(self) -> None:
        self._off.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        camera = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                port = free_port()
                with Sender(camera._clip, port) as sender:
                    while (head := self._request()) is not None:
                        method = head[0].split()[0]
                        camera.asked.append(method)
                        self._answer(method, head, sender.sdp)
                        if method == "PLAY":
                            sender.forward(self.request, camera._off)
                            return

            def _request(self) -> list[str] | None:
                lines: list[str] = []
                while line := self.rfile.readline().decode().strip():
                    lines.append(line)
                return lines or None

            def _answer(self, method: str, head: list[str], sdp: str) -> None:
                number = next(h.split(":")[1] for h in head if h.lower().startswith("cseq"))
                tcp = any("RTP/AVP/TCP" in h for h in head)
                status = "461 Unsupported Transport" if method == "SETUP" and not tcp else "200 OK"
                extra = {
                    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n",
                    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n",
                    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
                }.get(method, "")
                body = sdp if method == "DESCRIBE" else ""
                text = f"RTSP/1.0 {status}\r\nCSeq:{number}\r\nSession: 1\r\n{extra}\r\n{body}"
                self.wfile.write(text.encode())

        return Handler


class Sender:
    """FFmpeg sending a clip in a circle to a UDP port, at its own rate."""

    def __init__(self, clip: Path, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(0.2)
        self._child = subprocess.Popen(
            [
                "ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1",
                "-i", str(clip), "-an", "-c:v", "copy",
                "-f", "rtp", f"rtp://127.0.0.1:{port}?pkt_size=1200",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip
        self.sdp = self._read_sdp()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._socket.close()

    def _read_sdp(self) -> str:
        """FFmpeg writes it first, after a line that says so, and an empty line after it."""
        lines: list[str] = []
        for line in self._child.stdout or ():
            if line.strip() and not line.startswith("SDP:"):
                lines.append(line.strip())
            if line.startswith("a=fmtp"):
                break
        lines = ["m=video 0 RTP/AVP 96" if x.startswith("m=") else x for x in lines]
        return "\r\n".join([*lines, "a=control:track0", ""])

    def forward(self, client: socket.socket, off: threading.Event) -> None:
        """Hand packets on, each behind `$`, channel 0 and its length, until one side ends."""
        while not off.is_set():
            try:
                packet = self._socket.recv(65_536)
                client.sendall(b"$\0" + len(packet).to_bytes(2, "big") + packet)
            except TimeoutError:
                continue
            except OSError:
                return
