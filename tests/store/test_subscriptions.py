"""Subscriptions on a real MongoDB, and the epoch by which every process hears of them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pymongo.read_concern import ReadConcern

from broker.clock import Clock
from broker.contexts.compiler import compile_context
from broker.core import Json
from broker.core.change import Change
from broker.core.entity import update
from broker.core.errors import AlreadyExists, NonexistentTenant, ResourceNotFound
from broker.core.subscription import Subscription, read, updated
from broker.notify.index import Index
from broker.ports.changes import Due, Entry, SubscriptionChanges
from broker.store import subscriptions as module
from broker.store.client import open_database
from broker.store.commit import Committer
from broker.store.entries import stored
from broker.store.subscriptions import MongoSubscriptions
from broker.store.tenants import Tenants
from broker.store.timers import Schedule
from broker.store.writer import Writer

CORE = compile_context(None, {})
NOW = "2026-07-01T12:00:00.000001"


def subscription(name: str, **members: Json) -> Subscription:
    doc = {
        "type": "Subscription",
        "entities": [{"type": "T"}],
        "notification": {"endpoint": {"uri": "http://x/"}},
        **members,
    }
    return read(doc, CORE, f"urn:s:{name}", NOW)


class Process:
    """A process's subscriptions and writer; its sink keeps an index as the notifier does."""

    def __init__(self, stack: AsyncExitStack, prefix: str) -> None:
        self.stack, self.prefix = stack, prefix
        self.index, self.due_to = Index(), list[str]()

    async def open(self, uri: str) -> "Process":
        """Ready to write."""
        client = (await open_database(f"{uri}&serverMonitoringMode=poll", self.stack)).client
        self.tenants = Tenants(client, self.prefix)
        self.store = MongoSubscriptions(client, self.tenants, Schedule(client, self.prefix))
        await self.tenants.obtain("")
        committer = Committer(self, Clock(), secrets.token_hex(8))
        self.writer = Writer(self.tenants, committer, group=16, limit=100)
        self.writer.open(client, 2)
        self.stack.push_async_callback(self.writer.close)
        return self

    async def at_epoch(self, tenant: str, epoch: int) -> None:
        """As the notifier does."""
        if self.index.epoch < epoch:
            self.index.update(await self.store.since(tenant, self.index.epoch))

    def due(self, tenant: str, change: Change) -> list[Due]:
        """What the index says."""
        return self.index.due(change, 0)

    def throttled(self, tenant: str, subscription: str, last: int) -> None: ...

    def committed(self, entries: Any) -> None:
        """Notes to whom the last commit was due."""
        self.due_to = sorted(one for entry in entries for one in entry.due)

    async def create(self, name: str) -> list[str]:
        """Creates an entity of type T; to whom that was due."""
        self.due_to = []
        entity = {"id": name, "type": [CORE.expand("T")], "attrs": {CORE.expand("n"): _values()}}
        await self.writer.change("", name, update.create(entity))
        return self.due_to


def _values() -> list[dict[str, Json]]:
    return [{"type": "Property", "value": 1}]


@pytest.fixture
async def processes(mongo_uri: str) -> AsyncIterator[list[Process]]:
    prefix = f"s{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        yield [await Process(stack, prefix).open(mongo_uri) for _ in range(2)]


@pytest.mark.clause("5.8.1")
async def test_a_subscription_comes_back_as_it_was(processes: list[Process]) -> None:
    one, other = processes
    made = subscription("a", q="n>1", watchedAttributes=["n"], throttling=5)
    await one.store.create("", made)
    found = await other.store.get("", "urn:s:a")
    assert found is not None
    assert found[0].id == "urn:s:a"
    assert found[0].body == made.body.model_copy(update={"id": None})
    assert (found[0].names, found[0].context) == (made.names, made.context)
    assert found[1].sent == 0
    with pytest.raises(AlreadyExists):
        await other.store.create("", made)
    assert await other.store.count("") == 1


async def test_the_next_commit_of_any_process_knows_what_changed(processes: list[Process]) -> None:
    one, other = processes
    assert await other.create("urn:x:0") == []
    for n in range(5):
        await one.store.create("", subscription(f"c{n}"))
        assert await other.create(f"urn:x:c{n}") == [f"urn:s:c{m}" for m in range(n + 1)]
    pause = {"isActive": False}
    await one.store.replace("", "urn:s:c1", lambda old: updated(old, pause, CORE, NOW))
    assert "urn:s:c1" not in await other.create("urn:x:paused")
    await other.store.delete("", "urn:s:c0")
    assert await one.create("urn:x:deleted") == ["urn:s:c2", "urn:s:c3", "urn:s:c4"]


async def test_changes_that_two_processes_make_at_once_all_count(processes: list[Process]) -> None:
    await asyncio.gather(*(processes[n % 2].store.create("", subscription(str(n))) for n in range(40)))
    assert (await processes[0].tenants.obtain("")) is not None
    changes = await processes[0].store.since("", -1)
    assert changes.epoch == 40
    assert changes.whole
    assert len(changes.changed) == 40
    later = await processes[1].store.since("", 30)
    assert not later.whole
    assert len(later.changed) == 10


async def test_what_changed_since_an_epoch(processes: list[Process]) -> None:
    store = processes[0].store
    await store.create("", subscription("a"))
    await store.create("", subscription("b"))
    await store.delete("", "urn:s:a")
    changes = await store.since("", 1)
    assert (changes.epoch, [one.id for one in changes.changed], changes.gone) == (3, ["urn:s:b"], ["urn:s:a"])
    nothing = await store.since("", 3)
    assert nothing == SubscriptionChanges(3, [], [])


async def test_who_is_too_far_behind_reads_everything(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOGGED", 3)
    store = processes[0].store
    for n in range(6):
        await store.create("", subscription(str(n)))
    assert (await store.since("", 2)).whole
    just = await store.since("", 3)
    assert not just.whole
    assert [one.id for one in just.changed] == ["urn:s:3", "urn:s:4", "urn:s:5"]
    log = (await processes[0].tenants.obtain("")).subscription_log
    assert await log.count_documents({}) == 3


async def test_a_change_that_fails_changes_nothing(processes: list[Process]) -> None:
    store = processes[0].store
    await store.create("", subscription("a"))

    def fail(old: Subscription) -> Subscription:
        raise ResourceNotFound("no")

    with pytest.raises(ResourceNotFound):
        await store.replace("", "urn:s:a", fail)
    for missing in (store.replace("", "urn:s:b", fail), store.delete("", "urn:s:b")):
        with pytest.raises(ResourceNotFound):
            await missing
    with pytest.raises(NonexistentTenant):
        await store.delete("nobody", "urn:s:a")
    assert (await store.since("", 1)) == SubscriptionChanges(1, [], [])


async def test_a_subscription_takes_along_what_was_still_due_to_it(processes: list[Process]) -> None:
    store, tenant = processes[0].store, await processes[0].tenants.obtain("")
    await store.create("", subscription("a"))
    entity = {"id": "urn:x:1", "type": ["T"], "attrs": {}}
    for stamp, due in ((1, {"urn:s:a"}), (2, {"urn:s:a", "urn:s:b"})):
        await tenant.outbox.insert_one(stored(Entry(str(stamp), "", stamp, entity, due), "p"))
    await tenant.tallies.insert_one({"_id": "urn:s:a", "sent": 1})
    await store.delete("", "urn:s:a")
    local = ReadConcern("local")
    left = await tenant.outbox.with_options(read_concern=local).find().to_list()
    assert [one["due"] for one in left] == [["urn:s:b"]]
    assert await tenant.tallies.with_options(read_concern=local).count_documents({}) == 0
