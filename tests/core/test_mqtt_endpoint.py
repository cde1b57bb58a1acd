"""MQTT endpoints: what their URIs and parameters say."""

import pytest

from broker.core.mqtt_endpoint import endpoint, is_endpoint

pytestmark = pytest.mark.clause("7.2")


def test_what_a_uri_says() -> None:
    at = endpoint("mqtts://lamp:p%40ss%3Aword@[::1]:1884/city/lamps/%C3%A9t%C3%A9?x=1")
    assert (at.server.host, at.server.port, at.server.is_secure) == ("::1", 1884, True)
    assert (at.server.username, at.server.password) == ("lamp", "p@ss:word")
    assert at.topic == "city/lamps/été?x=1"


def test_what_is_left_out() -> None:
    at = endpoint("mqtt://broker.example/t")
    assert (at.server.port, at.server.username, at.server.password) == (1883, None, None)
    assert (at.qos, at.server.version) == (0, "mqtt5.0")
    assert endpoint("mqtts://broker.example/t").server.port == 8883
    assert endpoint("mqtt://lamp@broker.example/t").server.password is None


def test_parameters() -> None:
    at = endpoint("mqtt://h/t", [("MQTT-QoS", "2"), ("MQTT-Version", "mqtt3.1.1"), ("other", "x")])
    assert (at.qos, at.server.version) == (2, "mqtt3.1.1")


@pytest.mark.parametrize(
    "pair", [("MQTT-QoS", "3"), ("MQTT-QoS", ""), ("MQTT-Version", "5"), ("MQTT-Version", "")]
)
def test_parameters_that_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=pair[0]):
        endpoint("mqtt://h/t", [pair])


@pytest.mark.parametrize(
    "uri",
    [
        "mqtt://h",
        "mqtt://h/",
        "mqtt:///t",
        "mqtt://h/a/#",
        "mqtt://h/+/b",
        "mqtt://h/a%23",
        "mqtt://h/%00",
        "mqtt://h/%ff",
        "mqtt://h:port/t",
        "mqtt://h:70000/t",
        "http://h/t",
        "mqtt:h/t",
        "mqtt://h/" + "t" * 65_536,
    ],
)
def test_what_is_no_endpoint(uri: str) -> None:
    assert not is_endpoint(uri)


def test_equal_servers_can_share_a_connection() -> None:
    one, other = endpoint("mqtt://a:b@h/1"), endpoint("mqtt://a:b@h:1883/2")
    assert one.server == other.server
    assert one.server != endpoint("mqtt://a:c@h/1").server
    assert one.server != endpoint("mqtt://a:b@h/1", [("MQTT-Version", "mqtt3.1.1")]).server
