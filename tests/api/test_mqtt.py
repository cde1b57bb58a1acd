"""Notifications over MQTT from a running broker (clause 7.2)."""

import asyncio
from pathlib import Path
from typing import Any

import aiomqtt
import orjson
import pytest

from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from tests.api.conftest import JSON, LD_JSON, Api, Receiver, linked, room
from tests.api.test_subscriptions import ATTRS, SUBSCRIPTIONS, subscribe, subscription
from tests.conftest import free_port
from tests.mosquitto import mosquitto, needs_mosquitto

pytestmark = pytest.mark.clause("7.2")


async def heard(client: aiomqtt.Client) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The next message: its topic, metadata and body."""
    async with asyncio.timeout(5):
        message = await anext(client.messages)
    assert isinstance(message.payload, bytes)
    doc = orjson.loads(message.payload)
    assert doc.keys() == {"metadata", "body"}
    return str(message.topic), doc["metadata"], doc["body"]


@needs_mosquitto
async def test_messages(api: Api, tmp_path: Path) -> None:
    """JSON with a Link in the metadata; JSON-LD with its @context inside; what else the receiver is told."""
    await api.make(room(heat=1))
    async with mosquitto(tmp_path) as port, aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("#", qos=2)
        uri = f"mqtt://127.0.0.1:{port}/city/lamp"
        info = [{"key": "Authorization", "value": "x"}]
        for accept in (JSON, LD_JSON):
            endpoint = {"accept": accept, "receiverInfo": info}
            made = await api("POST", SUBSCRIPTIONS, subscription(uri, endpoint=endpoint))
            assert made.status == 201, made.body
            assert (await api("PATCH", ATTRS, {"heat": {"value": accept}})).status == 204
            topic, metadata, body = await heard(client)
            assert topic == "city/lamp"
            assert metadata.pop("NGSILD-Tenant") == api.tenant["NGSILD-Tenant"]
            assert metadata.pop("Authorization") == "x"
            assert metadata == {
                "Content-Type": accept,
                **(linked(CORE_CONTEXT_URL) if accept == JSON else {}),
            }
            assert body["type"] == "Notification"
            [data] = body["data"]
            assert data["heat"] == {"type": "Property", "value": accept}
            assert ("@context" in data) == (accept == LD_JSON)
            assert (await api("DELETE", made.headers["Location"])).status == 204


@needs_mosquitto
async def test_a_dead_server_delays_nobody_else(api: Api, receiver: Receiver, tmp_path: Path) -> None:
    """It gets what was due, in order, once it is there; others get theirs at once."""
    await api.make(room(heat=1))
    port = free_port()
    lines = ["persistence true", f"persistence_location {tmp_path}/"]

    def late() -> aiomqtt.Client:
        return aiomqtt.Client("127.0.0.1", port, identifier="late", clean_session=False)

    async with mosquitto(tmp_path, port, *lines), late() as client:
        await client.subscribe("#", qos=1)  # the server keeps what comes for it
    endpoint = {"notifierInfo": [{"key": "MQTT-QoS", "value": "1"}]}
    made = await api("POST", SUBSCRIPTIONS, subscription(f"mqtt://127.0.0.1:{port}/t", endpoint=endpoint))
    await subscribe(api, receiver)
    for n in range(3):
        assert (await api("PATCH", ATTRS, {"heat": n})).status == 204
    assert [one.entity["heat"]["value"] for one in await receiver.wait(3)] == [0, 1, 2]
    shown = await api.get(made.headers["Location"])
    assert shown["notification"]["status"] == "failed"
    async with mosquitto(tmp_path, port, *lines), late() as client:
        found = []
        while 2 not in found:
            _, _, body = await heard(client)
            found.append(body["data"][0]["heat"]["value"])
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("uri", "notifier"),
    [
        ("mqtt://127.0.0.1", []),
        ("mqtt://127.0.0.1/a/#", []),
        ("mqtt://127.0.0.1/t", [{"key": "MQTT-QoS", "value": "3"}]),
        ("mqtt://127.0.0.1/t", [{"key": "MQTT-Version", "value": "mqtt4"}]),
    ],
)
async def test_endpoints_that_are_refused(api: Api, uri: str, notifier: list[dict[str, str]]) -> None:
    answer = await api("POST", SUBSCRIPTIONS, subscription(uri, endpoint={"notifierInfo": notifier}))
    assert answer.is_problem(400, "BadRequestData")
    assert "endpoint" in answer.doc["detail"]
