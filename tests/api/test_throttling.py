"""Throttling over HTTP (5.2.12): one notification per period, and the newest state when it ends."""

from datetime import datetime

import pytest

from broker.core import Json
from tests.api.conftest import Api, Receiver, room
from tests.api.test_subscriptions import heats, patch, subscribe
from tests.core.documents import NULL

pytestmark = pytest.mark.clause("5.2.12")

LONG, SHORT = 3600, 0.001  # seconds


async def end_period(api: Api, path: str) -> None:
    """The throttling period is over: it was a short one."""
    assert (await api("PATCH", path, {"throttling": SHORT})).status == 204


async def test_the_last_of_what_came_too_early_is_notified_when_the_period_ends(
    api: Api, receiver: Receiver
) -> None:
    path = await subscribe(api, receiver, throttling=LONG)
    await api.make(room(heat=0))
    for n in range(1, 4):
        await patch(api, heat=n)
    assert heats(await receiver.only(1)) == [0]
    await end_period(api, path)
    assert heats(await receiver.only(2)) == [0, 3], "once"


async def test_notifications_are_a_period_apart_and_the_final_state_is_the_last(
    api: Api, receiver: Receiver
) -> None:
    period = 0.5
    await subscribe(api, receiver, throttling=period)
    await api.make(*(room(f"urn:x:{n}", heat=0) for n in range(3)))
    last = 0
    while len(receiver.taken) < 4:
        last += 1
        docs = [room(f"urn:x:{n}", heat=last) for n in range(3)]
        assert (await api("POST", "entityOperations/upsert", docs)).status == 204
    await receiver.until(lambda: list(final(receiver).values()) == [last] * 3)
    # They are due a period apart, and sent a little later: two may be nearer, but not many.
    times = [datetime.fromisoformat(one.doc["notifiedAt"]) for one in receiver.taken]
    assert (times[-1] - times[0]).total_seconds() > (len(times) - 2) * period
    assert len({one.doc["id"] for one in receiver.taken}) == len(times)


def final(receiver: Receiver) -> dict[str, Json]:
    """What the receiver knows of each entity in the end."""
    return {e["id"]: e["heat"]["value"] for one in receiver.taken for e in one.doc["data"]}


async def test_all_entities_that_came_too_early_are_in_one_notification(api: Api, receiver: Receiver) -> None:
    changes: dict[str, Json] = {"showChanges": True}
    path = await subscribe(api, receiver, throttling=LONG, q="heat<5", notification=changes)
    await api.make(room("urn:x:0", heat=0), *(room(f"urn:x:{n}", heat=1) for n in (1, 2, 3)))
    await api("PATCH", "entities/urn:x:1/attrs", {"heat": 2})
    await api("PATCH", "entities/urn:x:2/attrs", {"heat": 9})
    assert (await api("DELETE", "entities/urn:x:3")).status == 204
    await end_period(api, path)
    _, later = await receiver.only(2)
    told = {one["id"]: one["heat"] for one in later.doc["data"]}
    assert told == {
        "urn:x:1": {"type": "Property", "value": 2, "previousValue": 1},
        "urn:x:2": {"type": "Property", "value": 1},
        "urn:x:3": {"type": "Property", "value": 1},
    }, "9 and the deletion are nothing that it is to be notified of"


async def test_a_deletion_that_came_too_early(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=0), room("urn:x:2"))
    triggers: Json = ["attributeUpdated", "attributeDeleted"]
    path = await subscribe(api, receiver, throttling=LONG, notificationTrigger=triggers)
    await patch(api, heat=1)
    await patch(api, heat=NULL)
    await end_period(api, path)
    assert heats(await receiver.only(2)) == [1, NULL]


async def test_while_a_receiver_fails_only_the_newest_state_waits(api: Api, receiver: Receiver) -> None:
    """What is still to be delivered comes first: the final state is the last that the receiver hears of."""
    path = await subscribe(api, receiver, throttling=0.1)
    receiver.refuse = [500] * 10_000
    await api.make(room(heat=0))
    n = 0
    while receiver.tried(path) < 4:
        n += 1
        await patch(api, heat=n)
    receiver.refuse.clear()
    assert heats(await receiver.only(2)) == [0, n]


async def test_what_waits_goes_with_the_subscription_or_with_its_throttling(
    api: Api, receiver: Receiver
) -> None:
    gone, kept = [await subscribe(api, receiver, throttling=LONG) for _ in range(2)]
    await api.make(room(heat=0))
    await receiver.wait(2)
    await patch(api, heat=1)
    assert (await api("DELETE", gone)).status == 204
    assert (await api("PATCH", kept, {"throttling": None})).status == 204
    told = await receiver.only(3)
    assert (told[2].doc["subscriptionId"], heats(told[2:])) == (kept.partition("/")[2], [1])
    await patch(api, heat=2)
    assert heats(await receiver.only(4))[3] == 2


async def test_what_waits_is_notified_to_a_paused_subscription_when_it_is_active(
    api: Api, receiver: Receiver
) -> None:
    path = await subscribe(api, receiver, throttling=LONG)
    await api.make(room(heat=0))
    await receiver.wait(1)
    await patch(api, heat=1)
    await patch(api, heat=2)
    assert (await api("PATCH", path, {"isActive": False})).status == 204
    await end_period(api, path)
    await patch(api, heat=3)
    assert heats(await receiver.only(1)) == [0]
    assert (await api("PATCH", path, {"isActive": True})).status == 204
    assert heats(await receiver.only(2)) == [0, 2]
