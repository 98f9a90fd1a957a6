"""One paho client: how it presents itself. Adapter."""

from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.base.broker import log_in
from agent.base.reader import ReadingClient
from agent.contract.config import BrokerConfig, broker_address

SESSION_EXPIRY_S: Final = 7 * 86_400
CONNECT_S: Final = 10.0
PING_SHARE: Final = 2 / 3
"""paho notices silence after one to two of its periods; with this, within 4/3 of the config's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a client presents itself."""

    broker: BrokerConfig
    client_id: str
    """Unique and stable: the broker keeps the session under it."""
    subscriptions: tuple[tuple[str, int], ...] = ()
    """Topic filters with their QoS, subscribed on every connect."""
    receive_maximum: int = 64
    """QoS 1 messages that may come unacknowledged (MQTT 5)."""
    queued: int = 32
    """QoS 1 messages that paho may hold; beyond that, `publish` takes none."""
    session_s: int = SESSION_EXPIRY_S
    """How long the broker keeps the session of an absent client; 0: not at all."""
    manual_ack: bool = False
    will: tuple[str, bytes] | None = None
    """Topic and payload of the retained last will."""

    @property
    def v5(self) -> bool:
        """True for MQTT 5."""
        return self.broker.protocol == "5"


def new_client(plan: Plan) -> ReadingClient:
    """Make a client that is not connected yet.

    Raises:
        BadContentError: TLS files do not load.
        UnavailableError: TLS or password files cannot be read.
    """
    client = ReadingClient(
        CallbackAPIVersion.VERSION2,
        client_id=plan.client_id,
        protocol=MQTTProtocolVersion.MQTTv5 if plan.v5 else MQTTProtocolVersion.MQTTv311,
        # MQTT 5 says the same with clean_start at connect.
        clean_session=None if plan.v5 else plan.session_s == 0,
        manual_ack=plan.manual_ack,
    )
    client.connect_timeout = CONNECT_S
    client.max_inflight_messages_set(plan.broker.in_flight)
    client.max_queued_messages_set(plan.queued)
    if plan.will:
        client.will_set(*plan.will, qos=1, retain=True)
    log_in(client, plan.broker)
    return client


def connect(client: mqtt.Client, plan: Plan) -> None:
    """Open the connection and send CONNECT.

    Raises:
        OSError: nobody answers, or TLS does not trust who does.
    """
    host, port, _ = broker_address(plan.broker.url)
    keepalive = max(1, round(plan.broker.keepalive_s * PING_SHARE))
    options: dict[str, Any] = {}
    if plan.v5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = plan.session_s
        properties.ReceiveMaximum = plan.receive_maximum
        options = {"clean_start": False, "properties": properties}
    client.connect(host, port, keepalive, **options)
