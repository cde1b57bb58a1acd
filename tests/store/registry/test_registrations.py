"""Registrations on a real MongoDB: what is kept, what clashes, what has expired, and their epoch."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from broker.clock import Clock
from broker.core import Json
from broker.core.errors import AlreadyExists, Conflict, NonexistentTenant, ResourceNotFound, TooManyResults
from broker.core.federation.registration import Registration, updated
from broker.store.registry.registrations import MongoRegistrations
from broker.store.wire.client import open_database
from broker.store.wire.tenants import EPOCH, REGISTRATION_EPOCH, Tenants, epoch_of
from tests.core.documents import EX, LATER
from tests.core.federation.registrations import info, of

LIMIT = 8
ONE = info("heat", type="T", id="urn:x:1")


async def approve(_: Registration) -> None:
    """Nothing is in the way."""


class Process:
    """A process's registrations."""

    def __init__(self, tenants: Tenants, store: MongoRegistrations) -> None:
        self.tenants, self.store = tenants, store

    async def found(self, *types: str) -> list[str]:
        """The ids of those that may be of these types, or all."""
        wanted = frozenset(map(EX.expand, types)) or None
        return [one.id async for one in self.store.find("", wanted)]

    async def epoch(self, name: str = REGISTRATION_EPOCH) -> int:
        handle = await self.tenants.obtain("")
        return epoch_of(await handle.entities.find_one({"_id": name}))[0]


@pytest.fixture
async def processes(mongo_uri: str) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        prefix = f"t{secrets.token_hex(6)}"
        found = []
        for _ in range(2):
            client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
            tenants = Tenants(client, prefix)
            await tenants.obtain("")
            store = MongoRegistrations(client, tenants, Clock(), limit=LIMIT)
            found.append(Process(tenants, store))
        yield found
        await client.drop_database(prefix)


def named(name: str, *information: Json, **members: Json) -> Registration:
    return of(*information, id=f"urn:r:{name}", **members)


async def test_there_are_so_many_at_most(processes: list[Process]) -> None:
    one, other = processes
    for number in range(LIMIT):
        await processes[number % 2].store.create("", named(str(number)), approve)
    before = await one.epoch()
    with pytest.raises(TooManyResults, match=f"{LIMIT} registrations"):
        await other.store.create("", named("more"), approve)
    assert len(await one.found()) == LIMIT
    assert await one.epoch() == before
    await one.store.delete("", "urn:r:0")
    await other.store.create("", named("more"), approve)


@pytest.mark.clause("5.9.2")
async def test_every_process_sees_what_was_registered(processes: list[Process]) -> None:
    one, other = processes
    properties = {"label": {"a.b": [1, None], "$c": 2**63}, "kind": {"type": "Property", "value": 1}}
    registration = named("a", location={"type": "Point", "coordinates": [1, 2**60]}, **properties)
    await one.store.create("", registration, approve)
    assert await other.store.get("", "urn:r:a") == registration
    assert await other.store.get("", "urn:r:b") is None
    with pytest.raises(AlreadyExists):
        await other.store.create("", registration, approve)
    await other.store.replace("", "urn:r:a", lambda old: updated(old, {"label": None}, EX, LATER), approve)
    changed = await one.store.get("", "urn:r:a")
    assert changed is not None
    assert ([*changed.properties], changed.modified_at) == ([EX.expand("kind")], LATER)
    await one.store.delete("", "urn:r:a")
    assert await other.found() == []
    with pytest.raises(ResourceNotFound):
        await other.store.delete("", "urn:r:a")
    with pytest.raises(ResourceNotFound):
        await one.store.replace("", "urn:r:a", lambda old: old, approve)


@pytest.mark.clause("5.9.2")
async def test_the_epoch_rises_with_each_change_and_with_nothing_else(processes: list[Process]) -> None:
    one, other = processes
    before = await one.epoch(EPOCH)
    await one.store.create("", named("a"), approve)
    await other.store.create("", named("b"), approve)
    assert await one.epoch() == 2
    with pytest.raises(AlreadyExists):
        await one.store.create("", named("a"), approve)
    with pytest.raises(ResourceNotFound):
        await one.store.delete("", "urn:r:c")
    assert await one.epoch() == 2
    await one.store.replace("", "urn:r:b", lambda old: old, approve)
    await other.store.delete("", "urn:r:a")
    log = (await one.tenants.obtain("")).registration_log
    assert [(entry["_id"], entry["s"]) async for entry in log.find(sort=[("_id", 1)])] == [
        (1, "urn:r:a"),
        (2, "urn:r:b"),
        (3, "urn:r:b"),
        (4, "urn:r:a"),
    ]
    assert await one.epoch(EPOCH) == before  # subscriptions need not be read again


@pytest.mark.clause("4.3.6.3")
async def test_of_two_that_clash_only_one_is_registered(processes: list[Process]) -> None:
    tried = [
        process.store.create("", named(f"{n}{number}", ONE, mode="exclusive"), approve)
        for n in range(3)
        for number, process in enumerate(processes)
    ]
    came = await asyncio.gather(*tried, return_exceptions=True)
    assert came.count(None) == 1
    assert sum(isinstance(one, Conflict) for one in came) == 5
    assert len(await processes[0].found()) == 1


@pytest.mark.clause("5.9.3")
async def test_what_a_change_clashes_with(processes: list[Process]) -> None:
    store = processes[0].store
    await store.create("", named("a", ONE, mode="exclusive"), approve)
    await store.create("", named("b", info(type="T")), approve)
    with pytest.raises(Conflict, match="urn:r:a is exclusive, and of attributes of urn:x:1"):
        await store.replace("", "urn:r:b", lambda old: updated(old, {"mode": "redirect"}, EX, LATER), approve)
    await store.replace("", "urn:r:b", lambda old: updated(old, {"mode": "auxiliary"}, EX, LATER), approve)
    await store.replace("", "urn:r:a", lambda old: old, approve)  # with itself it never clashes


@pytest.mark.clause("5.9.2")
async def test_what_is_not_approved_is_not_stored(processes: list[Process]) -> None:
    async def refuse(_: Registration) -> None:
        raise Conflict("no")

    store = processes[0].store
    with pytest.raises(Conflict):
        await store.create("", named("a"), refuse)
    await store.create("", named("a"), approve)
    with pytest.raises(Conflict):
        await store.replace("", "urn:r:a", lambda old: updated(old, {"scope": "/a"}, EX, LATER), refuse)
    assert await store.get("", "urn:r:a") == named("a")


@pytest.mark.clause("5.10.2")
async def test_they_are_looked_for_by_type(processes: list[Process]) -> None:
    one = processes[0]
    await one.store.create("", named("c", info(type="A")), approve)
    await one.store.create("", named("a", info(type=["A", "B"]), info(type="C")), approve)
    await one.store.create("", named("b", {"propertyNames": ["heat"]}), approve)
    await one.store.create("", named("d", info(type="A"), info(id="urn:x:1")), approve)
    assert await one.found() == ["urn:r:a", "urn:r:b", "urn:r:c", "urn:r:d"]
    assert await one.found("C") == ["urn:r:a", "urn:r:b", "urn:r:d"]
    assert await one.found("A", "X") == ["urn:r:a", "urn:r:b", "urn:r:c", "urn:r:d"]
    with pytest.raises(NonexistentTenant):
        await one.store.get("nobody", "urn:r:a")


@pytest.mark.clause("5.9.2")
async def test_what_has_expired_is_gone(processes: list[Process]) -> None:
    one, other = processes
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()[:-6] + "Z"
    await one.store.create("", named("a", ONE, mode="exclusive", expiresAt=soon), approve)
    with pytest.raises(Conflict):
        await other.store.create("", named("b", ONE, mode="exclusive"), approve)
    async with asyncio.timeout(30):
        while await other.store.get("", "urn:r:a") is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert datetime.now(UTC) >= datetime.fromisoformat(soon) - timedelta(milliseconds=1)
    assert await one.found() == []
    with pytest.raises(ResourceNotFound):
        await one.store.replace("", "urn:r:a", lambda old: old, approve)
    with pytest.raises(ResourceNotFound):
        await one.store.delete("", "urn:r:a")
    await other.store.create("", named("b", ONE, mode="exclusive"), approve)
    await one.store.create("", named("a"), approve)
    assert await one.found() == ["urn:r:a", "urn:r:b"]


async def test_one_that_is_damaged_stops_no_other(processes: list[Process]) -> None:
    one = processes[0]
    await one.store.create("", named("a"), approve)
    await (await one.tenants.obtain("")).registrations.insert_one({"_id": "urn:r:0", "text": "{"})
    assert await one.found() == ["urn:r:a"]
    await one.store.delete("", "urn:r:0")
    assert await one.epoch() == 2
