"""Clients that leave before they are answered: what nobody waits for is dropped, and nothing else."""

import asyncio
import re
from itertools import count

import orjson
import pytest
from yarl import URL

from tests.api.conftest import Api, room

CLIENTS, ITEMS = 64, 100
COUNTED = re.compile(r'eridanus_requests_total\{method="(\w+)",resource="([^"]+)",status="(\d+)"\} (\S+)')


async def answered(api: Api, method: str, path: str) -> dict[int, int]:
    """How many requests were answered or left, by status."""
    text = (await api("GET", "/metrics")).body.decode()
    found = (one.groups() for one in COUNTED.finditer(text))
    return {int(status): int(float(n)) for verb, at, status, n in found if (verb, at) == (method, path)}


async def all_over(api: Api, method: str, path: str, total: int) -> dict[int, int]:
    """The same, once there are so many in all."""
    async with asyncio.timeout(60):
        while sum((known := await answered(api, method, path)).values()) < total:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return known


async def send(api: Api, method: str, path: str, doc: object) -> asyncio.StreamWriter:
    """A request by a client of its own, who may leave."""
    url, body = URL(api.root), orjson.dumps(doc)
    _, writer = await asyncio.open_connection(url.host, url.port)
    headers = {
        "Host": "x",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **api.tenant,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    return writer


async def test_batches_whose_clients_left_are_dropped(api: Api) -> None:
    path = "/ngsi-ld/v1/entityOperations/upsert"
    before = sum((await answered(api, "POST", path)).values())
    shared = [room(f"urn:x:shared{n}", n=1) for n in range(ITEMS // 2)]
    batches = [shared + [room(f"urn:x:{k}:{n}", n=1) for n in range(ITEMS // 2)] for k in range(CLIENTS)]
    clients = await asyncio.gather(*(send(api, "POST", path, batch) for batch in batches))
    for client in clients:
        await client.drain()
        client.transport.abort()
    ends = await all_over(api, "POST", path, before + CLIENTS)
    assert ends[499] > CLIENTS / 2
    await api.make(room("urn:x:last"))
    answer = await api("GET", "entities?type=T&idPattern=urn:x:[0-9]&count=true&limit=0")
    assert int(answer.headers["NGSILD-Results-Count"]) < CLIENTS * ITEMS / 4
    assert (await api("POST", "entityOperations/upsert", batches[0])).status in (201, 204)
    assert await api.entity("urn:x:0:0") == {"id": "urn:x:0:0", "type": "T", "n": 1}


@pytest.mark.clause("5.8.1")
async def test_a_subscription_whose_client_left_is_finished_and_known(api: Api) -> None:
    numbers = count()
    path = "/ngsi-ld/v1/subscriptions"
    await api.make(room())
    doc = {
        "type": "Subscription",
        "entities": [{"type": "T"}],
        "notification": {"endpoint": {"uri": "http://127.0.0.1:9/"}},
    }
    for _ in range(8):
        one = {**doc, "id": f"urn:s:{next(numbers)}"}
        client = await send(api, "POST", path, one)
        await client.drain()
        await asyncio.sleep(0)
        client.transport.abort()
    assert (await api("POST", "subscriptions", {**doc, "id": "urn:s:last"})).status == 201
    found = [one["id"] for one in await api.get("subscriptions?limit=100")]
    assert "urn:s:last" in found
    for one in found:
        assert (await api("DELETE", f"subscriptions/{one}")).status == 204
    assert await api.get("subscriptions") == []
    assert (await api("PATCH", "entities/urn:x:1/attrs", {"n": 1})).status == 204


async def test_queries_whose_clients_left_harm_nobody(api: Api) -> None:
    await api.make(*(room(f"urn:x:{n}", n=n) for n in range(40)))
    path = "/ngsi-ld/v1/entities"
    earlier = await answered(api, "GET", path)
    before = sum(earlier.values())
    for _ in range(5):
        clients = await asyncio.gather(*(send(api, "GET", path + "?type=T&q=n%3E3", None) for _ in range(30)))
        for client in clients:
            await client.drain()
            client.transport.abort()
        assert len(await api.get("entities?type=T&q=n%3E3&limit=100")) == 36
    ends = await all_over(api, "GET", path, before + 155)
    assert not {status for status, count in ends.items() if count > earlier.get(status, 0)} - {200, 499}
