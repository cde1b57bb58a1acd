"""Periodic subscriptions (timeInterval) over HTTP."""

import asyncio

import pytest

from broker.core import Json
from tests.api.conftest import Api, Receiver, room
from tests.api.test_subscriptions import SUBSCRIPTIONS, subscribe, subscription

pytestmark = pytest.mark.clause("5.8.6")


async def test_all_that_match_are_told_at_each_interval(api: Api, receiver: Receiver) -> None:
    await api.make(*(room(f"urn:x:{n}", heat=n) for n in range(4)))
    path = await subscribe(
        api,
        receiver,
        timeInterval=0.2,
        q="heat>0",
        entities=[{"type": "T"}, {"type": "T", "id": "urn:x:0"}, {"type": "T", "id": "urn:x:2"}],
        notification={"format": "simplified", "attributes": ["heat"]},
    )
    found = await receiver.wait(2)
    assert [[(one["id"], one["heat"]) for one in told.doc["data"]] for told in found[:2]] == [
        [("urn:x:1", 1), ("urn:x:2", 2), ("urn:x:3", 3)]
    ] * 2
    assert found[0].doc["id"] != found[1].doc["id"]
    shown = await api.get(path)
    assert shown["timeInterval"] == 0.2
    assert shown["notification"]["timesSent"] >= 1
    assert (await api("PATCH", "entities/urn:x:1/attrs", {"heat": 9})).status == 204
    assert (await api("DELETE", path)).status == 204
    count = len(receiver.attempts)
    await asyncio.sleep(0.5)
    assert len(receiver.attempts) <= count + 1, "a change was told, or it goes on"


async def test_nothing_is_told_when_nothing_matches(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=1))
    path = await subscribe(api, receiver, timeInterval=0.1, q="heat>5")
    await asyncio.sleep(0.5)
    assert receiver.attempts == []
    assert "timesSent" not in (await api.get(path))["notification"]
    assert (await api("PATCH", "entities/urn:x:1/attrs", {"heat": 6})).status == 204
    assert (await receiver.wait(1))[0].entity["heat"]["value"] == 6
    assert (await api("DELETE", path)).status == 204


@pytest.mark.parametrize("member", [{"watchedAttributes": ["heat"]}, {"throttling": 5}, {"timeInterval": 0}])
async def test_what_does_not_go_together(api: Api, member: dict[str, Json]) -> None:
    answer = await api("POST", SUBSCRIPTIONS, {**subscription(), "timeInterval": 5, **member})
    assert answer.is_problem(400, "BadRequestData")
    assert "timeInterval" in answer.doc["detail"]
