"""A broker inside the process: amqtt, MQTT 3.1.1, for the demo alone. Adapter.

It holds nothing over a crash; deployments and tests use Mosquitto.
"""

import asyncio
import logging
import socket
import threading
from types import TracebackType
from typing import Final

from amqtt.broker import Broker
from typing_extensions import Self

from agent.contract.errors import UnavailableError

START_S: Final = 15.0


class EmbeddedBroker:
    """A context manager around one broker in one thread; `url` is its address."""

    def __init__(self) -> None:
        """Choose a free port on loopback."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"mqtt://127.0.0.1:{self._port}"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="broker")

    def __enter__(self) -> Self:
        """Start and wait until it listens.

        Raises:
            UnavailableError: it did not come up.
        """
        # It logs every packet, and a demo's screen is small.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._ready.wait(START_S):
            raise UnavailableError(f"embedded broker: not up on {self.url} in {START_S:.0f} s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self._port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await broker.start()
        self._ready.set()
        await self._stop.wait()
        await broker.shutdown()
