"""MQTT topic names: the only place with slashes. Pure."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from agent.contract.errors import BadContentError
from agent.contract.ids import is_device_id

Channel = Literal[
    "status", "event", "look", "telemetry", "reported",
    "receipt", "verdict", "desired", "advice", "release", "call", "reply",
]  # fmt: skip

CHANNELS: Final[tuple[Channel, ...]] = get_args(Channel)
UP: Final = ("status", "event", "look", "telemetry", "reported", "reply")
DOWN: Final = ("receipt", "verdict", "desired", "advice", "release", "call")
DEFAULT_PREFIX: Final = "secondlook"


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names of one prefix, e.g. `secondlook/cam-1/look`."""

    prefix: str = DEFAULT_PREFIX

    def of(self, device: str, channel: Channel) -> str:
        """Return the topic of one device's channel.

        Raises:
            BadContentError: `device` is no device id.
        """
        if not is_device_id(device):
            raise BadContentError(f"device id {device!r}: use a-z, 0-9 and '-', at most 63")
        return f"{self.prefix}/{device}/{channel}"

    def of_all(self, channel: Channel) -> str:
        """Return the filter that matches one channel of every device."""
        return f"{self.prefix}/+/{channel}"

    def parse(self, topic: str) -> tuple[str, Channel]:
        """Split a topic into device and channel.

        Raises:
            BadContentError: the topic is not one of ours.
        """
        head, _, channel = topic.rpartition("/")
        prefix, _, device = head.rpartition("/")
        if prefix != self.prefix or channel not in CHANNELS or not is_device_id(device):
            raise BadContentError(f"topic {topic[:120]!r} is not {self.prefix}/DEVICE/CHANNEL")
        return device, channel
