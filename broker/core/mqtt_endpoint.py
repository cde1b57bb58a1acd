"""MQTT endpoints (clause 7.2): `mqtt[s]://[user][:password]@host[:port]/topic`, and their parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

VERSIONS = ("mqtt5.0", "mqtt3.1.1")
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST = 65_535  # bytes of a topic, a user name or a password


@dataclass(frozen=True, slots=True)
class Server:
    """An MQTT server, a user and a protocol version. Endpoints with equal ones can share a connection."""

    host: str
    port: int
    is_secure: bool
    username: str | None
    password: str | None
    version: str


@dataclass(frozen=True, slots=True)
class MqttEndpoint:
    """The server and topic to which a notification is published, and the quality of service (0, 1 or 2)."""

    server: Server
    topic: str
    qos: int


def is_endpoint(uri: str) -> bool:
    """Whether this is a well-formed URI of an MQTT endpoint."""
    try:
        endpoint(uri)
    except ValueError:
        return False
    return True


def endpoint(uri: str, parameters: Iterable[tuple[str, str]] = ()) -> MqttEndpoint:
    """The endpoint that a URI and the pairs of `notifierInfo` describe (table 7.2-1).

    Pairs with other keys are ignored. ValueError, with the reason, if the URI or a parameter is not valid.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("expected mqtt[s]://[user][:password]@host[:port]/topic")
    qos, version = _parameters(parameters)
    server = Server(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        parts.scheme == "mqtts",
        None if parts.username is None else _text(parts.username, "user"),
        None if parts.password is None else _text(parts.password, "password"),
        version,
    )
    return MqttEndpoint(server, _topic(uri), qos)


def _parameters(pairs: Iterable[tuple[str, str]]) -> tuple[int, str]:
    given = {key.lower(): value for key, value in pairs}
    qos, version = given.get("mqtt-qos", "0"), given.get("mqtt-version", VERSIONS[0])
    if qos not in ("0", "1", "2"):
        raise ValueError("MQTT-QoS: expected 0, 1 or 2")
    if version not in VERSIONS:
        raise ValueError("MQTT-Version: expected mqtt3.1.1 or mqtt5.0")
    return int(qos), version


def _topic(uri: str) -> str:
    """All that follows the host. `?` has no meaning here; a topic with `#` or `+` cannot be published to."""
    topic = _text(uri.partition("://")[2].partition("/")[2], "topic")
    if not topic or "+" in topic or "#" in topic:
        raise ValueError("expected a topic without + and # behind the host")
    return topic


def _text(part: str, name: str) -> str:
    text = unquote(part, errors="strict")
    if "\x00" in text or len(text.encode()) > _LONGEST:
        raise ValueError(f"{name}: expected UTF-8 of at most {_LONGEST} bytes, without U+0000")
    return text
