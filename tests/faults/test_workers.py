"""Several workers as one broker: nothing is lost between them, and all know and tell the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import API, Client, Load, Receiver, all_arrive, receiving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def port(mongo_uri: str) -> AsyncIterator[int]:
    """A broker of three workers."""
    port = free_port()
    settings = {"database": "three", "notification_retry_first": 0.05, "log_level": "error"}
    async with running(port, mongo_uri=mongo_uri, workers=3, **settings):
        yield port


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as one:
        yield one


async def test_no_update_of_the_same_few_entities_is_lost(port: int) -> None:
    """Many clients, each writing an attribute of its own to each of three entities, over all workers."""
    names, clients, rounds = ["s1", "s2", "s3"], 32, 12
    async with Client(port, fresh=True) as client:
        await client.create(*names)

        async def write(attr: str) -> None:
            for value in range(1, rounds + 1):
                for name in names:
                    fragment = {attr: {"type": "Property", "value": value}}
                    status, body = await client.ask("POST", f"{API}/entities/urn:x:{name}/attrs", fragment)
                    assert status == 204, (status, body)

        began = time.monotonic()
        async with asyncio.timeout(25):
            await asyncio.gather(*(write(f"a{n}") for n in range(clients)))
        took = time.monotonic() - began
        for name in names:
            entity = await client.current(name)
            assert {entity[f"a{n}"]["value"] for n in range(clients)} == {rounds}
            for n in range(0, clients, 7):
                assert await client.history(name, f"a{n}") == list(range(1, rounds + 1))
    print(f"contended: {clients * rounds * len(names) / took:.0f} writes/s to three entities")


async def test_subscribers_that_fail_delay_nobody_else(port: int, receiver: Receiver) -> None:
    """One hangs, one refuses connections, one answers 500: the fourth is told as if it were alone."""
    names = [f"d{n}" for n in range(8)]
    async with Client(port) as client:
        await client.create(*names)
        watched: dict[str, Any] = {"entities": [{"type": "T", "idPattern": "^urn:x:d"}]}
        failing = [
            await client.subscribe(*one, **watched)
            for one in (
                ("hang", receiver.uri + "hang"),
                ("refuse", f"http://127.0.0.1:{free_port()}/"),
                ("500", receiver.uri + "500"),
            )
        ]
        good = await client.subscribe("good", receiver.uri, **watched)
        load = Load(client, names, pause=0.05).start()
        await asyncio.sleep(4.0)
        assert load.total > 100
        await load.stop()
        took = await all_arrive(receiver, good, load.acknowledged, 2)
        for one in failing:
            assert (await client.ask("DELETE", f"{API}/subscriptions/{one}"))[0] == 204
    print(f"beside failing subscribers: all told {took:.2f} s after the last write")


async def test_an_acknowledged_subscription_is_known_to_all_at_once(port: int, receiver: Receiver) -> None:
    async with Client(port, fresh=True) as client:
        await client.create("r")
        watched: dict[str, Any] = {"entities": [{"type": "T", "id": "urn:x:r"}]}
        expected = {}
        for n in range(50):
            one = await client.subscribe(f"r{n}", receiver.uri, **watched)
            answers = [client.put("r", n * 10 + k) for k in range(1, 5)]
            assert await asyncio.gather(*answers) == [204] * 4
            assert (await client.ask("DELETE", f"{API}/subscriptions/{one}"))[0] == 204 if n % 2 else True
            if n % 2 == 0:
                expected[one] = {n * 10 + k for k in range(1, 5)}
        for one, values in expected.items():
            async with asyncio.timeout(10):
                while not values <= set(receiver.values.get(one, {}).get("urn:x:r", ())):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        for one in expected:
            assert (await client.ask("DELETE", f"{API}/subscriptions/{one}"))[0] == 204


async def test_notifications_of_an_entity_come_in_order_from_all_workers(
    port: int, receiver: Receiver
) -> None:
    """Each write goes to any of three workers; two subscribers hear of all of them, in order."""
    async with Client(port, fresh=True) as client:
        await client.create("o")
        watched: dict[str, Any] = {"entities": [{"type": "T", "id": "urn:x:o"}]}
        subscriptions = [await client.subscribe(f"o{n}", receiver.uri, **watched) for n in range(2)]
        began = time.monotonic()
        for value in range(1, 301):
            assert await client.put("o", value) == 204
        wrote, took = time.monotonic() - began, 0.0
        for one in subscriptions:
            took += await all_arrive(receiver, one, {"o": list(range(1, 301))}, 15)
            assert receiver.values[one]["urn:x:o"] == list(range(1, 301)), "told twice without need"
            assert (await client.ask("DELETE", f"{API}/subscriptions/{one}"))[0] == 204
    print(f"in order: 300 writes in {wrote:.2f} s by three workers, told {took:.2f} s later")


async def test_a_deleted_context_is_gone_on_all_workers_at_once(port: int) -> None:
    async with Client(port, fresh=True) as client:
        for number in range(10):
            doc = {"@context": {"n": f"urn:x:n{number}"}}
            async with client.http.post(f"{API}/jsonldContexts", json=doc) as answer:
                path = answer.headers["Location"]
            assert await _uses(client, path) == {200}
            assert (await client.ask("DELETE", path))[0] == 204
            assert await _uses(client, path) == {504}


async def _uses(client: Client, path: str) -> set[int]:
    """The statuses of many requests that name an @context, over all workers."""
    link = {"Link": f'<{path}>; rel="http://www.w3.org/ns/json-ld#context"'}

    async def use() -> int:
        async with client.http.get(f"{API}/entities?type=n", headers=link) as answer:
            return answer.status

    return set(await asyncio.gather(*(use() for _ in range(24))))
