"""/eridanus/v1/subscriptions/{id}/deliveries over HTTP: what was given up, shown and sent again."""

import asyncio
from typing import Any

import pytest

from broker.core import Json
from tests.api.conftest import Api, Receiver, room
from tests.api.test_subscriptions import heats, patch, subscribe


async def deliveries(api: Api, path: str, count: int) -> list[Any]:
    """What was given up, once there is so much."""
    found: list[Any] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found = await api.get(path)
            await asyncio.sleep(0.01)
    return found


def own(path: str) -> str:
    """The path of our own beside that of a subscription."""
    return f"/eridanus/v1/{path}/deliveries"


@pytest.fixture
async def given_up(api: Api, receiver: Receiver) -> tuple[str, list[Any]]:
    """Three notifications that were refused for good; their path, and how they are shown."""
    await api.make(room(heat=0))
    path = own(await subscribe(api, receiver))
    receiver.refuse = [400, 410, 422]
    for n in (1, 2, 3, 4):
        await patch(api, heat=n)
    assert heats(await receiver.only(1)) == [4]
    return path, await deliveries(api, path, 3)


async def test_they_are_listed(api: Api, given_up: tuple[str, list[Any]]) -> None:
    path, found = given_up
    assert [one["reason"] for one in found] == [f"answered with status {n}" for n in (400, 410, 422)]
    for one in found:
        assert one.keys() == {"id", "entityId", "changedAt", "givenUpAt", "reason"}
        assert one["entityId"] == "urn:x:1"
        assert one["changedAt"] < one["givenUpAt"]
    answer = await api("GET", path + "?limit=1&offset=1&count=true")
    assert answer.doc == [found[1]]
    assert answer.headers["NGSILD-Results-Count"] == "3"
    previous, following = answer.headers["Link"].split(", ")
    assert following == f'<{path}?count=true&limit=1&offset=2>; rel="next"'
    assert previous.endswith('offset=0>; rel="prev"')


async def test_all_are_sent_again(api: Api, receiver: Receiver, given_up: tuple[str, list[Any]]) -> None:
    path, _ = given_up
    answer = await api("POST", path + "/replay")
    assert (answer.status, answer.doc) == (200, {"replayed": 3})
    assert heats(await receiver.only(4)) == [4, 1, 2, 3]
    assert await api.get(path) == []
    assert (await api("POST", path + "/replay")).doc == {"replayed": 0}
    shown = await api.get(path.removesuffix("/deliveries").removeprefix("/eridanus/v1/"))
    assert (shown["notification"]["timesSent"], shown["notification"]["timesFailed"]) == (7, 3)


async def test_one_is_sent_again_and_one_forgotten(
    api: Api, receiver: Receiver, given_up: tuple[str, list[Any]]
) -> None:
    path, (first, second, third) = given_up
    assert (await api("POST", f"{path}/{second['id']}/replay")).doc == {"replayed": 1}
    assert heats(await receiver.only(2)) == [4, 2]
    answer = await api("DELETE", f"{path}/{first['id']}")
    assert (answer.status, answer.body) == (204, b"")
    assert await api.get(path) == [third]
    for method, gone in (("DELETE", f"{path}/{first['id']}"), ("POST", f"{path}/{second['id']}/replay")):
        assert (await api(method, gone)).is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", path)).status == 204
    assert await api.get(path) == []


async def test_they_go_with_their_subscription(api: Api, given_up: tuple[str, list[Any]]) -> None:
    path, _ = given_up
    subscription = path.removesuffix("/deliveries").removeprefix("/eridanus/v1/")
    assert (await api("DELETE", subscription)).status == 204
    assert (await api("GET", path)).is_problem(404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "subscriptions/urn:s:none", 404, "ResourceNotFound"),
        ("GET", "subscriptions/x", 400, "BadRequestData"),
        ("DELETE", "subscriptions/urn:s:none", 404, "ResourceNotFound"),
    ],
)
async def test_refusals(api: Api, method: str, path: str, status: int, kind: str) -> None:
    await api.make(room())
    assert (await api(method, own(path))).is_problem(status, kind)
    assert (await api(method, own(path) + "?x=1")).is_problem(400, "InvalidRequest")


async def test_a_deleted_subscription_is_told_nothing_more(api: Api, receiver: Receiver) -> None:
    """Neither what is on its way, nor what waits for another try."""
    await api.make(room(heat=0))
    path = await subscribe(api, receiver)
    receiver.refuse = [500] * 10_000
    await patch(api, heat=1)
    await receiver.until(lambda: receiver.tried(path) > 0)
    assert (await api("DELETE", path)).status == 204
    tried = receiver.tried(path)
    await several_more(api, receiver)
    assert receiver.tried(path) <= tried + 1, "what was on its way may arrive, and no more"


async def several_more(api: Api, receiver: Receiver) -> str:
    """Returns when the endpoint was tried so often that it was the turn of each subscription; a path."""
    other = await subscribe(api, receiver, entities=[{"type": "Other"}])
    await api.make({"id": f"urn:x:{other[-12:]}", "type": "Other", "heat": 0})
    await receiver.until(lambda: receiver.tried(other) >= 2)
    return other


async def test_a_paused_subscription_is_told_later(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=0))
    path = await subscribe(api, receiver)
    receiver.refuse = [500] * 10_000
    await patch(api, heat=1)
    await receiver.until(lambda: receiver.tried(path) > 0)
    await activate(api, path, False)
    tried = receiver.tried(path)
    other = await several_more(api, receiver)
    assert receiver.tried(path) <= tried + 1
    assert (await api("DELETE", other)).status == 204
    await patch(api, heat=2)
    await activate(api, path, True)
    await patch(api, heat=3)
    receiver.refuse = []
    await receiver.until(lambda: len(theirs(receiver, path)) >= 2)
    assert theirs(receiver, path) == [1, 3], "what happened meanwhile was not due"


def theirs(receiver: Receiver, path: str) -> list[Json]:
    """What a subscription was told of `heat`."""
    return heats([one for one in receiver.taken if one.doc["subscriptionId"] == path.partition("/")[2]])


async def activate(api: Api, path: str, is_active: Json) -> None:
    """Pauses or wakes a subscription."""
    answer = await api("PATCH", path, {"isActive": is_active})
    assert answer.status == 204, answer.body


async def test_why_nothing_comes(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=1))
    path = await subscribe(api, receiver, q="heat>5", throttling=60)
    ask = f"/eridanus/v1/{path}/explain?entity=urn:x:1"
    about = {"subscriptionId": path.partition("/")[2], "entityId": "urn:x:1"}
    assert await api.get(ask) == {**about, "fires": False, "stoppedBy": "q"}
    await patch(api, heat=6)
    await receiver.wait(1)
    assert await api.get(ask) == {**about, "fires": False, "stoppedBy": "throttling"}
    assert (await api("PATCH", path, {"throttling": None})).status == 204
    assert await api.get(ask) == {**about, "fires": True}
    await activate(api, path, False)
    assert await api.get(ask) == {**about, "fires": False, "stoppedBy": "isActive"}
    assert (await api("GET", ask + "23")).is_problem(404, "ResourceNotFound")
    assert (await api("GET", ask.partition("?")[0])).is_problem(400, "BadRequestData")
