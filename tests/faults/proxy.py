"""A TCP proxy that breaks the network on purpose, without root."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, final

from tests.faults.tap import Tap

CHUNK = 4_096
QUEUED = 8
"""Chunks under way in one direction; beyond that the sender has to wait."""
T = TypeVar("T")


@final
class Proxy:
    """Stands before a port of loopback while entered; faults may be changed at any time."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay_s = 0.0
        """One way."""
        self.bytes_per_s: float | None = None
        """Each way and connection; None: as fast as it goes."""
        self.refuse = False
        """True: new connections are reset at once."""
        self.life_s: Callable[[], float] | None = None
        """How long a new connection lives before it is reset; None: for ever."""
        self.arrivals: list[float] = []
        """Monotonic seconds at which clients connected, the refused ones included."""
        self.resets = 0
        self.up = self.down = 0
        """Bytes handed on, to the target and from it."""
        self._taps: tuple[Tap, Tap] | None = None
        self._links: dict[_Link, asyncio.Task[Any] | None] = {}
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        # Small, so that a slow line holds up its sender rather than filling a buffer.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * CHUNK)
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self) -> None:
        """Reset all connections that there are; new ones work."""
        self._do(self._cut())

    def half_open(self) -> None:
        """Swallow all bytes of the present connections both ways; nobody is told."""
        self._do(self._silence())

    def tap(self) -> tuple[Tap, Tap]:
        """Count the looks of all new connections, on their way up and down."""
        self._taps = Tap(), Tap()
        return self._taps

    def meter(self, *, up: bool) -> Callable[[bytes], None]:
        """Return what is told of the bytes handed on by one way of a new connection."""
        look = self._taps[not up].open() if self._taps else None

        def tell(data: bytes) -> None:
            if up:
                self.up += len(data)
            else:
                self.down += len(data)
            if look:
                look(data)

        return tell

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._listener, limit=CHUNK)

    async def _close(self) -> None:
        assert self._server
        self._server.close()
        await self._cut()
        await asyncio.gather(*(task for task in self._links.values() if task))

    async def _cut(self) -> None:
        for link in self._links:
            link.over.set()

    async def _silence(self) -> None:
        for link in self._links:
            link.silent = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrivals.append(time.monotonic())
        link = _Link(self)
        self._links[link] = asyncio.current_task()
        try:
            await link.serve(reader, writer)
        finally:
            del self._links[link]


class _Link:
    """One client's connection and the one behind it."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.over = asyncio.Event()
        """Set: both connections are to be reset."""
        self.silent = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._proxy.refuse:
            reset(writer)
            return
        try:
            behind, to_target = await asyncio.open_connection(
                "127.0.0.1", self._proxy.target, limit=CHUNK
            )
        except OSError:
            reset(writer)
            return
        over = asyncio.create_task(self.over.wait())
        ways = [
            asyncio.create_task(self._way(reader, to_target, self._proxy.meter(up=True))),
            asyncio.create_task(self._way(behind, writer, self._proxy.meter(up=False))),
        ]
        life = self._proxy.life_s() if self._proxy.life_s else None
        done, left = await asyncio.wait(
            [*ways, over], timeout=life, return_when=asyncio.FIRST_COMPLETED
        )
        self._proxy.resets += not done
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for end in (writer, to_target):
            (end.close if done and over not in done else partial(reset, end))()

    async def _way(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        tell: Callable[[bytes], None],
    ) -> None:
        """Hand chunks on, each not before its time, until one end hangs up."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUED)
        reading = asyncio.create_task(self._read(reader, chunks))
        try:
            while True:
                due, data = await chunks.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.silent and not data:
                    await self.over.wait()  # on a dead line nobody hears the other hang up
                if not data:
                    return
                if not self.silent:
                    tell(data)
                    writer.write(data)
                    await writer.drain()
                if self._proxy.bytes_per_s:
                    await asyncio.sleep(len(data) / self._proxy.bytes_per_s)
        except OSError:
            return
        finally:
            reading.cancel()

    async def _read(
        self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        data = b"more"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:
                data = b""
            await chunks.put((time.monotonic() + self._proxy.delay_s, data))


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a crashed peer does: what was on the way is gone."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
