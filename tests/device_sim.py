"""A device reduced to its promises: sends looks until receipted, applies verdicts in order."""

import threading
import time
from types import TracebackType
from typing import Any, final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.contract.codec import Look, encode_look
from agent.contract.messages import Receipt, Reported, Verdict, Verdicts, from_json, to_json
from tests.makers import NOW

RESEND_S = 1.0


@final
class DeviceSim:
    """One device over a real broker. `send` returns at once; a thread sends and sends again."""

    def __init__(self, port: int, device: str = "cam-1", resend_s: float = RESEND_S) -> None:
        self._resend_s = resend_s
        self.device = device
        self.port = port
        self.receipts: list[Receipt] = []
        self.verdicts: dict[str, Verdict] = {}
        self.batches: list[Verdicts] = []
        self.orders: dict[str, list[bytes]] = {"advice": [], "desired": []}
        self.verdict_seq = 0
        self.online = True
        self.sent = 0
        self._waiting: dict[str, tuple[bytes, float]] = {}
        self._quarantined: set[str] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=device, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.reconnect_delay_set(1, 1)
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "DeviceSim":
        self._client.connect_async("127.0.0.1", self.port, 10, clean_start=False)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the broker did not answer"
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stop.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def waiting(self) -> int:
        with self._lock:
            return len(self._waiting)

    @property
    def quarantined(self) -> set[str]:
        with self._lock:
            return set(self._quarantined)

    def topic(self, channel: str) -> str:
        return f"secondlook/{self.device}/{channel}"

    def send(self, *looks: Look) -> None:
        with self._lock:
            for look in looks:
                self._waiting[look.meta.look_id] = (encode_look(look), 0.0)

    def send_raw(self, channel: str, payload: bytes, *, topic: str = "") -> None:
        self._client.publish(topic or self.topic(channel), payload, 1).wait_for_publish(10)

    def report(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "device": self.device,
            "at": NOW,
            "agent": "0.1.0",
            "profile": "traffic-signs",
            "model": "m",
            "verdict_seq": self.verdict_seq,
        }
        payload = to_json(Reported.model_validate({**values, **changes}))
        self._client.publish(self.topic("reported"), payload, 1, retain=True)

    def _work(self) -> None:
        while not self._stop.wait(0.05):
            now = time.monotonic()
            with self._lock:
                due = [(i, p) for i, (p, at) in self._waiting.items() if at <= now][:100]
                for look_id, payload in due:
                    self._waiting[look_id] = (payload, now + self._resend_s)
            if not self._client.is_connected():
                continue
            for _, payload in due:
                self._client.publish(self.topic("look"), payload, 1)
                self.sent += 1

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        channels = ("receipt", "verdict", "advice", "desired")
        client.subscribe([(self.topic(channel), 1) for channel in channels])
        self.report()

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        channel = message.topic.rpartition("/")[2]
        if channel == "receipt":
            receipt = from_json(Receipt, bytes(message.payload))
            with self._lock:
                self.receipts.append(receipt)
                self._quarantined.update(receipt.quarantined)
                for look_id in (*receipt.look_ids, *receipt.quarantined):
                    self._waiting.pop(look_id, None)
        elif channel == "verdict":
            self._on_verdicts(from_json(Verdicts, bytes(message.payload)))
        else:
            self.orders[channel].append(bytes(message.payload))

    def _on_verdicts(self, batch: Verdicts) -> None:
        self.batches.append(batch)
        if not self.online:
            return
        if batch.after <= self.verdict_seq < batch.seq:
            self.verdict_seq = batch.seq
            self.verdicts.update({v.look_id: v for v in batch.verdicts})
        self.report()


def wait_until(condition: Any, limit_s: float = 20.0) -> None:
    """Wait for a condition, a function without arguments; its docstring or name is the failure."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s:.0f} s: {condition}")
        time.sleep(0.02)
