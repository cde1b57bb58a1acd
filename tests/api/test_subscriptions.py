"""/subscriptions over HTTP, and the notifications that follow (6.10, 6.11, 6.3.8)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.core import Json
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from tests.api.conftest import CORE_URL, LD_JSON, Api, Kept, Received, Receiver, linked, room
from tests.core.documents import NULL

SUBSCRIPTIONS = "subscriptions"
ATTRS = "entities/urn:x:1/attrs"
DEFAULT = ["attributeCreated", "attributeUpdated"]


def subscription(uri: str = "http://127.0.0.1:1/", **members: Json) -> dict[str, Any]:
    """A subscription to entities of type T; `notification` and `endpoint` are merged in."""
    endpoint = {"uri": uri, **members.pop("endpoint", {})}
    notification = {"endpoint": endpoint, **members.pop("notification", {})}
    return {"type": "Subscription", "entities": [{"type": "T"}], "notification": notification, **members}


async def subscribe(api: Api, receiver: Receiver, **members: Json) -> str:
    """Subscribes; the subscription's path below /ngsi-ld/v1/."""
    answer = await api("POST", SUBSCRIPTIONS, subscription(receiver.root + "/notify", **members))
    assert (answer.status, answer.body) == (201, b""), answer.body
    return answer.headers["Location"].removeprefix("/ngsi-ld/v1/")


async def patch(api: Api, **attrs: Json) -> None:
    assert (await api("PATCH", ATTRS, attrs)).status == 204


def heats(received: list[Received]) -> list[Json]:
    """What each notification says of `heat`."""
    return [one.entity["heat"]["value"] for one in received]


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()[:-6] + "Z"


@pytest.mark.clause("5.8.1")
async def test_a_subscription_is_kept_as_it_was_sent(api: Api) -> None:
    doc = subscription(
        id="urn:s:1",
        description="é",
        watchedAttributes=["heat"],
        q="heat>1",
        throttling=5,
        notification={"format": "concise", "attributes": ["heat"], "sysAttrs": True},
        endpoint={"accept": LD_JSON, "timeout": 100, "receiverInfo": [{"key": "X", "value": "1"}]},
    )
    made = await api("POST", SUBSCRIPTIONS, doc)
    assert (made.status, made.body) == (201, b"")
    assert made.headers["Location"] == "/ngsi-ld/v1/subscriptions/urn:s:1"
    assert await api.get("subscriptions/urn:s:1") == {
        **doc,
        "status": "active",
        "notificationTrigger": DEFAULT,
        "jsonldContext": CORE_CONTEXT_URL,
    }
    shown = await api.get("subscriptions/urn:s:1?options=sysAttrs")
    assert shown["createdAt"] == shown["modifiedAt"]
    again = await api("POST", SUBSCRIPTIONS, doc)
    assert again.is_problem(409, "AlreadyExists")


@pytest.mark.clause("5.8.1")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        subscription(type="X"),
        subscription(entities=[]),
        subscription(q="("),
        subscription(unknown=1),
        subscription("ftp://x"),
        subscription(expiresAt="2020-01-01T00:00:00Z"),
        subscription(id="x"),
        subscription(entities=[{"type": "T", "idPattern": "("}]),
        subscription("http://h:99999/"),
        subscription("http://[::1/x"),
        subscription(endpoint={"receiverInfo": [{"key": "A", "value": "\x01"}]}),
        subscription(timeInterval=1e13),
        subscription(timeInterval=1e-9),
        subscription(throttling=1e300),
        subscription(entities=[{"type": "T"}] * 40_000),
    ],
    ids=lambda wrong: str(wrong)[:200],
)
async def test_a_wrong_subscription_is_not_kept(kept: Kept, wrong: Json) -> None:
    assert (await kept("POST", SUBSCRIPTIONS, wrong)).is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("5.8.1")
async def test_a_subscription_that_is_too_long(kept: Kept) -> None:
    wrong = subscription(entities=[{"type": "T"}] * 200_000)
    assert (await kept("POST", SUBSCRIPTIONS, wrong)).status == 413
    assert await kept.is_unchanged()


@pytest.mark.clause("5.8.1")
async def test_a_context_that_is_not_there(api: Api) -> None:
    answer = await api("POST", SUBSCRIPTIONS, subscription(jsonldContext="http://127.0.0.1:1/c"))
    assert answer.is_problem(504, "LdContextNotAvailable")
    assert (await api("GET", SUBSCRIPTIONS)).is_problem(404, "NonexistentTenant")


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize("url", ["urn:foo:ctx", "ftp://x/c", "http:///c", "/ngsi-ld/v1/jsonldContexts/x"])
async def test_a_context_of_notifications_that_is_nowhere(api: Api, url: str) -> None:
    refused = await api("POST", SUBSCRIPTIONS, subscription(jsonldContext=url))
    assert refused.is_problem(400, "BadRequestData")
    assert refused.doc["detail"].startswith("jsonldContext: expected an http or https URL")
    made = subscription(id="urn:s:1")
    assert (await api("POST", SUBSCRIPTIONS, made)).status == 201
    before = await api.get("subscriptions/urn:s:1?options=sysAttrs")
    changed = await api("PATCH", "subscriptions/urn:s:1", {"jsonldContext": url})
    assert changed.is_problem(400, "BadRequestData")
    assert await api.get("subscriptions/urn:s:1?options=sysAttrs") == before


@pytest.mark.clause("5.8.2")
async def test_what_is_read_in_other_names_and_sent_back_hears_the_same(api: Api, receiver: Receiver) -> None:
    own = {
        "heat": "https://ex.org/heat",
        "T": "https://ex.org/T",
        "ort": "https://uri.etsi.org/ngsi-ld/location",
    }
    path = (await api("POST", "jsonldContexts", {"@context": own})).headers["Location"]
    named = linked(api.root + path)
    doc = subscription(receiver.root + "/notify", id="urn:s:1", q='heat>1;ort;name!="50%25"', csf="heat")
    assert (await api("POST", SUBSCRIPTIONS, doc, headers=named)).status == 201
    in_own = await api.get("subscriptions/urn:s:1", **named)
    assert (in_own["q"], in_own["entities"]) == ('heat>1;location;name!="50%"', [{"type": "T"}])
    in_core = await api.get("subscriptions/urn:s:1")
    assert (in_core["q"], in_core["csf"]) == (
        '<https://ex.org/heat>>1;location;name!="50%"',
        "<https://ex.org/heat>",
    )
    assert in_core["entities"] == [{"type": "https://ex.org/T"}]
    assert (await api("PATCH", "subscriptions/urn:s:1", in_core)).status == 204
    assert await api.get("subscriptions/urn:s:1") == in_core
    assert await api.get("subscriptions/urn:s:1", **named) == in_own
    place = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [1, 2]}}
    for number, heat in ((1, 1), (2, 2)):
        doc = room(f"urn:x:{number}", heat=heat, ort=place, name="x")
        made = await api("POST", "entities", doc, headers=named)
        assert made.status == 201, made.body
    assert "location" in await api.get("entities/urn:x:2", **named)
    (one,) = await receiver.only(1)
    assert one.entity["id"] == "urn:x:2"


@pytest.mark.clause("5.8.4")
async def test_subscriptions_are_listed_in_pages(api: Api) -> None:
    for n in range(3):
        assert (await api("POST", SUBSCRIPTIONS, subscription(id=f"urn:s:{n}"))).status == 201
    first = await api("GET", "subscriptions?limit=2&count=true")
    assert [one["id"] for one in first.doc] == ["urn:s:0", "urn:s:1"]
    assert first.headers["NGSILD-Results-Count"] == "3"
    assert 'rel="next"' in first.headers["Link"]
    assert 'rel="prev"' not in first.headers["Link"]
    last = await api("GET", "subscriptions?limit=2&offset=2")
    assert [one["id"] for one in last.doc] == ["urn:s:2"]
    assert 'rel="next"' not in last.headers["Link"]
    assert (await api("GET", "subscriptions?limit=-1")).is_problem(400, "BadRequestData")


@pytest.mark.clause("5.8.2")
async def test_an_update_changes_what_it_names(api: Api) -> None:
    doc = subscription(id="urn:s:1", description="one", q="heat>1")
    await api("POST", SUBSCRIPTIONS, doc)
    fragment = {"description": "two", "q": NULL, "isActive": False}
    updated = await api("PATCH", "subscriptions/urn:s:1", fragment)
    assert (updated.status, updated.body) == (204, b"")
    shown = await api.get("subscriptions/urn:s:1")
    assert (shown["description"], shown["isActive"], shown["status"]) == ("two", False, "paused")
    assert shown["notification"]["endpoint"]["uri"] == "http://127.0.0.1:1/"
    assert "q" not in shown


@pytest.mark.clause("5.8.2")
async def test_a_wrong_update_changes_nothing(api: Api) -> None:
    await api("POST", SUBSCRIPTIONS, subscription(id="urn:s:1"))
    before = await api.get("subscriptions/urn:s:1?options=sysAttrs")
    past, nowhere = {"expiresAt": "2020-01-01T00:00:00Z"}, {"notification": {"endpoint": None}}
    wrongs: list[Json] = [{}, {"id": "urn:s:2"}, past, nowhere, {"entities": []}, {"unknown": 1}]
    for wrong in wrongs:
        assert (await api("PATCH", "subscriptions/urn:s:1", wrong)).is_problem(400, "BadRequestData")
    assert await api.get("subscriptions/urn:s:1?options=sysAttrs") == before


@pytest.mark.clause("5.8.5")
@pytest.mark.parametrize(
    ("subscription_id", "status", "kind"),
    [("urn:s:9", 404, "ResourceNotFound"), ("x", 400, "BadRequestData")],
)
async def test_subscriptions_that_are_not_there(
    api: Api, subscription_id: str, status: int, kind: str
) -> None:
    await api("POST", SUBSCRIPTIONS, subscription(id="urn:s:1"))
    for method, doc in (("GET", None), ("PATCH", {"description": "x"}), ("DELETE", None)):
        assert (await api(method, f"subscriptions/{subscription_id}", doc)).is_problem(status, kind)
    assert len(await api.get(SUBSCRIPTIONS)) == 1


@pytest.mark.clause("5.8.6")
async def test_a_notification(api: Api, receiver: Receiver) -> None:
    info = [{"key": "X-One", "value": "1 2"}, {"key": "Authorization", "value": "Bearer é"}]
    path = await subscribe(api, receiver, endpoint={"receiverInfo": info})
    await api.make(room(heat=1))
    (one,) = await receiver.only(1)
    assert one.doc.keys() == {"id", "type", "subscriptionId", "notifiedAt", "data"}
    assert (one.doc["type"], one.doc["subscriptionId"]) == ("Notification", path.partition("/")[2])
    assert one.entity == room(heat={"type": "Property", "value": 1})
    assert one.path == "/notify"
    assert one.headers["Content-Type"] == "application/json"
    assert CORE_URL.partition("ngsi-ld-core")[0] in one.headers["Link"]
    assert one.headers["NGSILD-Tenant"] == api.tenant["NGSILD-Tenant"]
    assert (one.headers["X-One"], one.headers["Authorization"]) == ("1 2", "Bearer é")


@pytest.mark.clause("5.2.14")
async def test_what_became_of_notifications_is_told(api: Api, receiver: Receiver) -> None:
    path = await subscribe(api, receiver)
    before = (await api.get(path))["notification"]
    assert not before.keys() & {"status", "timesSent", "timesFailed", "lastNotification", "lastSuccess"}
    await api.make(room(heat=1))
    await receiver.wait(1)
    told = (await api.get(path))["notification"]
    assert (told["status"], told["timesSent"]) == ("ok", 1)
    assert told["lastNotification"] == told["lastSuccess"]
    assert "lastFailure" not in told


SQUARE = [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]
AUDIENCE: list[tuple[dict[str, Json], str]] = [
    ({}, "13"),
    ({"entities": [{"type": "U"}]}, "2"),
    ({"entities": [{"type": "U"}, {"type": "T", "id": "urn:x:3"}]}, "23"),
    ({"entities": [{"type": "T,U", "idPattern": "[12]$"}]}, "12"),
    ({"q": "heat>1"}, "3"),
    ({"q": "heat%3E1;%20heat<9"}, "3"),
    ({"watchedAttributes": ["cold"]}, "3"),
    ({"entities": [{"type": "*"}], "watchedAttributes": ["heat"]}, "123"),
    ({"isActive": False}, ""),
    ({"scopeQ": "/a"}, "1"),
    ({"geoQ": {"georel": "within", "geometry": "Polygon", "coordinates": SQUARE}}, "3"),
]


@pytest.mark.clause("5.8.6")
async def test_who_is_told_of_what(api: Api, receiver: Receiver) -> None:
    for members, ids in AUDIENCE:
        doc = subscription(f"{receiver.root}/{ids}", **members)
        assert (await api("POST", SUBSCRIPTIONS, doc)).status == 201
    await api.make(room("urn:x:1", heat=1, scope="/a"), {"id": "urn:x:2", "type": "U", "heat": 1})
    await api.make(room("urn:x:3", heat=3, cold=1, location={"type": "Point", "coordinates": [1, 1]}))
    told = sorted((one.path, one.entity["id"]) for one in await receiver.only(15))
    assert told == sorted((f"/{ids}", f"urn:x:{n}") for _, ids in AUDIENCE for n in ids)


@pytest.mark.clause("5.8.6")
async def test_watched_attributes_and_attributes_told_are_two_things(api: Api, receiver: Receiver) -> None:
    await subscribe(api, receiver, watchedAttributes=["heat"], notification={"attributes": ["cold"]})
    await api.make(room(mild=1))
    await patch(api, cold=1)
    await patch(api, heat=1)
    await patch(api, heat=NULL)
    (one,) = await receiver.only(1)
    assert one.entity == room(cold={"type": "Property", "value": 1})


@pytest.mark.clause("5.8.6")
async def test_deletions_are_told_to_who_asked_for_them(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=1, cold=2))
    for trigger in ("attributeDeleted", "entityDeleted"):
        doc = subscription(f"{receiver.root}/{trigger}", notificationTrigger=[trigger])
        doc["notification"] |= {"format": "concise", "showChanges": trigger == "attributeDeleted"}
        assert (await api("POST", SUBSCRIPTIONS, doc)).status == 201
    assert (await api("DELETE", ATTRS + "/cold")).status == 204
    assert (await api("PATCH", ATTRS + "/heat", {"value": NULL})).status == 204
    assert (await api("DELETE", "entities/urn:x:1")).status == 204
    cold, heat, gone = await receiver.only(3)
    assert cold.entity == room(heat=1, cold={"value": NULL, "previousValue": 2})
    assert heat.entity == room(heat={"value": NULL, "previousValue": 1})
    assert gone.path == "/entityDeleted"
    assert gone.entity.keys() == {"id", "type", "deletedAt"}


@pytest.mark.clause("6.3.8")
async def test_an_inline_context_is_hosted_so_that_a_link_can_name_it(api: Api, receiver: Receiver) -> None:
    doc = subscription(receiver.root, watchedAttributes=["heat"])
    made = await api(
        "POST", SUBSCRIPTIONS, {**doc, "@context": {"heat": "https://ex.org/heat"}}, media=LD_JSON
    )
    assert made.status == 201, made.doc
    await api.make(room(**{"https://ex.org/heat": 1}))
    (one,) = await receiver.only(1)
    url = one.headers["Link"].partition(">")[0].removeprefix("<")
    shown = await api("GET", made.headers["Location"].removeprefix("/ngsi-ld/v1/"))
    assert shown.doc["jsonldContext"] == url
    assert (await api("GET", url.partition("/ngsi-ld/v1/")[2])).doc["@context"][
        "heat"
    ] == "https://ex.org/heat"
    assert one.entity["heat"] == {"type": "Property", "value": 1}


@pytest.mark.clause("4.5.23")
async def test_linked_entities_are_told_as_they_are(api: Api, receiver: Receiver) -> None:
    await api.make({"id": "urn:x:2", "type": "U", "name": "two"})
    for join in ("inline", "flat"):
        doc = subscription(f"{receiver.root}/{join}", notification={"join": join, "format": "concise"})
        assert (await api("POST", SUBSCRIPTIONS, doc)).status == 201
    await api.make(room(to={"object": "urn:x:2"}))
    told = {one.path: one.doc["data"] for one in await receiver.only(2)}
    linked = {"id": "urn:x:2", "type": "U", "name": "two"}
    assert told["/inline"] == [room(to={"object": "urn:x:2", "entity": linked})]
    assert told["/flat"] == [room(to={"object": "urn:x:2"}), linked]


@pytest.mark.clause("4.9")
async def test_conditions_on_linked_entities(api: Api, receiver: Receiver) -> None:
    path = await subscribe(api, receiver, q="to{next{n}}>1;heat")
    await api.make({"id": "urn:x:b", "type": "U", "n": 2}, {"id": "urn:x:c", "type": "U", "n": 1})
    await api.make({"id": "urn:x:a", "type": "U", "next": {"object": ["urn:x:b", "urn:x:none"]}})
    await api.make(room("urn:x:1", heat=1, to={"object": "urn:x:c"}), room("urn:x:2", heat=1))
    await api.make(room("urn:x:3", heat=1, to={"object": "urn:x:a"}))
    together = [
        {"id": "urn:x:d", "type": "U", "next": {"object": "urn:x:e"}},
        {"id": "urn:x:e", "type": "U", "n": 5},
    ]
    docs = [room("urn:x:4", heat=1, to={"object": "urn:x:d"}), *together, room("urn:x:5", heat=1)]
    assert (await api("POST", "entityOperations/create", docs)).status == 201
    await api.make(room("urn:x:6", heat=1, to={"object": "urn:x:d"}))
    await receiver.wait(2)
    await asyncio.sleep(0.2)
    told = {one.entity["id"] for one in receiver.taken} - {"urn:x:4"}  # made together with what it links to
    assert told == {"urn:x:3", "urn:x:6"}
    explain = f"/eridanus/v1/{path}/explain?entity=urn:x:"
    assert [(await api.get(f"{explain}{n}"))["fires"] for n in (1, 3, 5, 6)] == [False, True, False, True]


@pytest.mark.clause("5.8.6")
async def test_a_refused_write_and_a_deletion_tell_nothing(api: Api, receiver: Receiver) -> None:
    await api.make(room(heat=1, cold=1))
    await subscribe(api, receiver)
    assert (await api("POST", "entities", room(heat=2))).status == 409
    assert (await api("PATCH", ATTRS, {"heat": None})).status == 400
    assert (await api("DELETE", ATTRS + "/cold")).status == 204
    assert (await api("DELETE", "entities/urn:x:1")).status == 204
    await receiver.only(0)


FORMATS: dict[str, Json] = {
    "concise": {"value": 1, "unitCode": "CEL"},
    "keyValues": 1,
    "simplified": 1,
    "normalized": {"type": "Property", "value": 1, "unitCode": "CEL"},
}


@pytest.mark.clause("5.8.6")
async def test_formats(api: Api, receiver: Receiver) -> None:
    for name in FORMATS:
        doc = subscription(f"{receiver.root}/{name}", notification={"format": name})
        assert (await api("POST", SUBSCRIPTIONS, doc)).status == 201
    await api.make(room(heat={"value": 1, "unitCode": "CEL"}))
    told = {one.path: one.entity for one in await receiver.only(len(FORMATS))}
    assert told == {f"/{name}": room(heat=heat) for name, heat in FORMATS.items()}


@pytest.mark.clause("6.3.8")
async def test_json_ld_and_the_context_of_the_subscription(api: Api, receiver: Receiver) -> None:
    context = {"heat": "https://ex.org/heat"}
    doc = subscription(receiver.root, endpoint={"accept": LD_JSON}, watchedAttributes=["heat"])
    made = await api("POST", SUBSCRIPTIONS, {**doc, "@context": context}, media=LD_JSON)
    assert made.status == 201
    await api.make(room(heat=1))
    await patch(api, **{"https://ex.org/heat": 2})
    (one,) = await receiver.only(1)
    assert one.headers["Content-Type"] == LD_JSON
    assert "Link" not in one.headers
    hosted = (await api("GET", one.entity["@context"].partition("/ngsi-ld/v1/")[2])).doc
    assert hosted == {"@context": context}
    assert one.entity["heat"] == {"type": "Property", "value": 2}


@pytest.mark.clause("5.8.6")
async def test_a_receiver_that_fails_is_told_again_and_in_order(api: Api, receiver: Receiver) -> None:
    receiver.refuse = [500, 404]
    path = await subscribe(api, receiver)
    await api.make(room(heat=0))
    for n in range(1, 6):
        await patch(api, heat=n)
    assert heats(await receiver.only(6)) == list(range(6))
    assert heats(receiver.attempts) == [0, 0, *range(6)]
    told = (await api.get(path))["notification"]
    assert (told["timesSent"], told["timesFailed"], told["status"]) == (8, 2, "ok")
    assert told["lastFailure"] < told["lastSuccess"]


@pytest.mark.clause("5.2.15")
async def test_a_receiver_that_does_not_answer_in_time_is_told_again(api: Api, receiver: Receiver) -> None:
    receiver.refuse = [0]
    await subscribe(api, receiver, endpoint={"timeout": 50})
    await api.make(room(heat=1))
    assert heats(await receiver.only(1)) == [1]
    assert heats(receiver.attempts) == [1, 1]


async def test_a_dead_receiver_delays_nobody_else(api: Api, receiver: Receiver) -> None:
    await api("POST", SUBSCRIPTIONS, subscription("http://127.0.0.1:1/"))
    await subscribe(api, receiver)
    await api.make(room(heat=1))
    await patch(api, heat=2)
    assert heats(await receiver.only(2)) == [1, 2]


async def test_every_change_is_told_once_and_in_order(api: Api, receiver: Receiver) -> None:
    await subscribe(api, receiver)
    await api.make(*(room(f"urn:x:{n}", heat=0) for n in range(4)))
    for value in range(1, 11):
        docs = [room(f"urn:x:{n}", heat=value) for n in range(4)]
        assert (await api("POST", "entityOperations/upsert", docs)).status == 204
    received = await receiver.only(44)
    for n in range(4):
        assert heats([one for one in received if one.entity["id"] == f"urn:x:{n}"]) == list(range(11))
    assert len({one.doc["id"] for one in received}) == 44


@pytest.mark.clause("5.8.6")
async def test_nothing_is_told_after_expiry_until_it_is_renewed(api: Api, receiver: Receiver) -> None:
    path = await subscribe(api, receiver, expiresAt=soon(3600))
    await api.make(room(heat=1))
    await receiver.wait(1)
    await expire(api, path)
    await patch(api, heat=2)
    assert (await api("PATCH", path, {"expiresAt": soon(3600)})).status == 204
    await patch(api, heat=3)
    assert heats(await receiver.only(2)) == [1, 3]


async def expire(api: Api, path: str) -> None:
    """Lets a subscription expire, as soon as the machine can tell it to in time."""
    seconds = 0.1
    async with asyncio.timeout(60):
        while (await api("PATCH", path, {"expiresAt": soon(seconds)})).status != 204:
            seconds *= 2
        while (await api.get(path))["status"] != "expired":  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.clause("5.8.2")
async def test_an_update_holds_from_its_answer_on(api: Api, receiver: Receiver) -> None:
    path = await subscribe(api, receiver, isActive=False)
    await api.make(room(heat=0))
    for n, active in enumerate([True, False, True, False], 1):
        assert (await api("PATCH", path, {"isActive": active})).status == 204
        await patch(api, heat=n)
    assert heats(await receiver.only(2)) == [1, 3]


@pytest.mark.clause("5.8.5")
async def test_after_its_deletion_nothing_is_told(api: Api, receiver: Receiver) -> None:
    path = await subscribe(api, receiver)
    gone = await api("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    await api.make(room(heat=0))
    await receiver.only(0)
    assert (await api("GET", path)).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("4.14")
async def test_a_subscription_is_told_of_its_own_tenant_alone(api: Api, receiver: Receiver) -> None:
    await subscribe(api, receiver)
    other = {"NGSILD-Tenant": api.tenant["NGSILD-Tenant"] + "x"}
    assert (await api("POST", "entities", room(heat=1), headers=other)).status == 201
    assert (await api("GET", SUBSCRIPTIONS, headers=other)).doc == []
    await receiver.only(0)


@pytest.mark.clause("6.3.5")
async def test_names_of_a_subscription_are_shown_in_those_of_the_reader(api: Api) -> None:
    doc = subscription(id="urn:s:1", watchedAttributes=["heat"])
    context = {"heat": "https://ex.org/heat", "T": "https://ex.org/T"}
    await api("POST", SUBSCRIPTIONS, {**doc, "@context": context}, media=LD_JSON)
    shown = await api("GET", "subscriptions/urn:s:1", headers=linked(CORE_URL))
    assert shown.doc["watchedAttributes"] == ["https://ex.org/heat"]
    assert shown.doc["entities"] == [{"type": "https://ex.org/T"}]
    assert "@context" not in shown.doc
