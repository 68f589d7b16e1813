"""Delivers events to a topic of an MQTT broker (extra `mqtt`)."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lstmcli.core.errors import ConfigError
from lstmcli.outputs.event_delivery import TIMEOUT_S, DeliveryError, reason_of, without_password

if TYPE_CHECKING:
    from paho.mqtt.client import Client


class MqttTopic:
    """Publishes events at least once (QoS 1); a connection that is lost is made anew.

    Args:
        make_client: of the broker, with user and TLS.
        host: of the broker.
        port: of the broker.
        topic: that gets the events.
    """

    def __init__(self, make_client: Callable[[], Client], host: str, port: int, topic: str) -> None:
        self._make_client, self._host, self._port, self._topic = make_client, host, port, topic
        self._client: Client | None = None

    def deliver(self, data: bytes) -> None:
        """Publish one event, and wait until the broker confirms it.

        Raises:
            DeliveryError: it cannot be reached, or does not confirm.
        """
        try:
            message = self._connected().publish(self._topic, data, qos=1)
            message.wait_for_publish(TIMEOUT_S)
            if not message.is_published():
                raise DeliveryError("the broker does not confirm")
        except (OSError, ValueError, RuntimeError) as error:
            raise DeliveryError(reason_of(error)) from None

    def hang_up(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()
            client.reinitialise()  # closes its sockets now: the client is in a reference cycle

    def _connected(self) -> Client:
        if self._client is None or not self._client.is_connected():
            self.hang_up()
            self._client = client = self._make_client()
            client.connect(self._host, self._port)
            client.loop_start()
        return self._client


def mqtt_topic(address: str) -> MqttTopic:
    """Return a topic of a broker; it is connected to when the first event comes.

    Args:
        address: `mqtt://[user:password@]host[:port]/topic`, `mqtts://` with TLS.

    Raises:
        ConfigError: no host, no topic, or `paho-mqtt` is not installed.
    """
    parts = urlsplit(address)
    topic = unquote(address.partition("://")[2].partition("/")[2].lstrip("/"))
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(
            f"--events {without_password(address)}: {error}", hint="write mqtt://host:1883/topic"
        ) from None
    if not parts.hostname or not topic or set("+#") & set(topic):
        raise ConfigError(
            f"--events {without_password(address)}: no host or no topic",
            hint="write mqtt://host:1883/topic",
        )
    try:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion
    except ImportError:
        raise ConfigError(
            "MQTT: paho-mqtt is not installed here", hint="pip install 'lstmcli[mqtt]'"
        ) from None
    with_tls = parts.scheme.lower() == "mqtts"

    def make_client() -> Client:
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect_timeout = TIMEOUT_S
        if parts.username is not None:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if with_tls:
            client.tls_set_context(ssl.create_default_context())
        return client

    return MqttTopic(make_client, parts.hostname, port or (8883 if with_tls else 1883), topic)
