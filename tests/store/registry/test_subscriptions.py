"""Subscriptions on a real MongoDB, and the epoch by which every process hears of them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pymongo.read_concern import ReadConcern

from broker.clock import Clock
from broker.contexts.compiler import compile_context
from broker.core import Entity, Json
from broker.core.change import Change
from broker.core.entity import update
from broker.core.errors import AlreadyExists, NonexistentTenant, ResourceNotFound, Unavailable
from broker.core.subscription import Subscription, read, updated
from broker.core.temporal.recording import Recording
from broker.notify.index import Index
from broker.ports.changes import Entry, SubscriptionChanges, Triggered
from broker.store.pending.entries import apart, held
from broker.store.registry import epochs
from broker.store.registry.subscriptions import MongoSubscriptions
from broker.store.registry.timers import Schedule
from broker.store.wire import transactions
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Planner
from broker.store.writes.writer import Writer

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
        client = self.client = (await open_database(f"{uri}&serverMonitoringMode=poll", self.stack)).client
        self.tenants = Tenants(client, self.prefix)
        schedule = Schedule(client, self.prefix)
        self.store = MongoSubscriptions(client, self.tenants, schedule)
        await self.tenants.obtain("")
        judge = Planner(self, Clock(), secrets.token_hex(8), Recording())
        committer = Committer(judge, schedule)
        self.writer = Writer(self.tenants, committer, group=16, limit=100)
        self.stack.push_async_callback(self.writer.close)
        return self

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """As the notifier does."""
        if (self.index.epoch, self.index.mark) != (epoch, mark):
            self.index.update(await self.store.since(tenant, self.index.epoch, self.index.mark))

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """What the index says."""
        return self.index.triggered(change)

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Notes to whom the last commit was due."""
        self.due_to = sorted(entry.subscriptions)

    async def create(self, name: str) -> list[str]:
        """Creates an entity of type T; to whom that was due."""
        self.due_to = []
        entity = {"id": name, "type": [CORE.expand("T")], "attrs": {CORE.expand("n"): _values()}}
        await self.writer.change("", name, update.create(entity))
        return self.due_to


def _values() -> list[dict[str, Json]]:
    return [{"type": "Property", "value": 1}]


async def mark_of(process: Process, epoch: int) -> str:
    """The mark of an epoch that the log follows on from."""
    log = (await process.tenants.obtain("")).subscription_log
    found = await log.find_one({"_id": epoch + 1})
    assert found is not None
    mark: str = found["before"]
    return mark


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
    later = await processes[1].store.since("", 30, await mark_of(processes[0], 30))
    assert not later.whole
    assert len(later.changed) == 10


async def test_what_changed_since_an_epoch(processes: list[Process]) -> None:
    store = processes[0].store
    await store.create("", subscription("a"))
    await store.create("", subscription("b"))
    await store.delete("", "urn:s:a")
    changes = await store.since("", 1, await mark_of(processes[0], 1))
    assert (changes.epoch, [one.id for one in changes.changed], changes.gone) == (3, ["urn:s:b"], ["urn:s:a"])
    epoch, mark = await store.current_epoch("")
    assert await store.since("", epoch, mark) == SubscriptionChanges(3, [], [], mark=mark)
    assert changes.mark == mark
    assert [len((await store.since("", 0)).gone), (await store.since("", 0)).whole] == [1, False]


async def test_who_is_too_far_behind_reads_everything(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs, "LOGGED", 3)
    store = processes[0].store
    for n in range(6):
        await store.create("", subscription(str(n)))
    assert (await store.since("", 2, "gone from the log")).whole
    just = await store.since("", 3, await mark_of(processes[0], 3))
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
    epoch, mark = await store.current_epoch("")
    assert (await store.since("", 1, mark)) == SubscriptionChanges(epoch, [], [], mark=mark)
    assert epoch == 1


async def test_a_subscription_takes_along_what_was_still_due_to_it(processes: list[Process]) -> None:
    store, tenant = processes[0].store, await processes[0].tenants.obtain("")
    await store.create("", subscription("a"))
    entity: Entity = {"id": "urn:x:1", "type": ["T"], "attrs": {}}
    its = [
        Entry(f"{rev:016x}p", "", "urn:x:1", rev, rev, "p", due, entity)
        for rev, due in ((1, {"urn:s:a"}), (2, {"urn:s:a", "urn:s:b"}), (3, {"urn:s:a"}), (4, {"urn:s:b"}))
    ]
    await tenant.outbox.insert_many([apart(one) for one in its[:2]])
    await tenant.entities.insert_one({"_id": "urn:x:1", "rev": 4, "ov": True, "o": [*map(held, its[2:])]})
    await tenant.tallies.insert_one({"_id": "urn:s:a", "sent": 1})
    await store.delete("", "urn:s:a")
    local = ReadConcern("local")
    left = await tenant.outbox.with_options(read_concern=local).find().to_list()
    assert [one["due"] for one in left] == [["urn:s:b"]]
    document = await tenant.entities.find_one({"_id": "urn:x:1"})
    assert document is not None
    assert [(one["st"], one["due"]) for one in document["o"]] == [(4, ["urn:s:b"])]
    assert await tenant.tallies.with_options(read_concern=local).count_documents({}) == 0


async def saved(process: Process) -> dict[str, list[dict[str, Any]]]:
    """A backup of what a tenant has of subscriptions."""
    tenant = await process.tenants.obtain("")
    return {
        "entities": await tenant.entities.find({"_id": "epoch"}).to_list(),
        "subscriptions": await tenant.subscriptions.find().to_list(),
        "subscription_log": await tenant.subscription_log.find().to_list(),
    }


async def restore(process: Process, backup: dict[str, list[dict[str, Any]]]) -> None:
    """The backup, and nothing that came after it."""
    tenant = await process.tenants.obtain("")
    for name, documents in backup.items():
        collection = getattr(tenant, name)
        await collection.delete_many({"_id": "epoch"} if name == "entities" else {})
        await collection.insert_many(documents)


@pytest.mark.parametrize("later", [0, 1, 2, 3], ids="changes after it: {}".format)
async def test_a_backup_that_was_restored_is_known_by_its_mark(processes: list[Process], later: int) -> None:
    """The epoch goes back, and comes again to numbers that were known for something else."""
    one, other = processes
    await one.store.create("", subscription("kept"))
    assert await other.create("urn:x:1") == ["urn:s:kept"]
    backup = await saved(one)
    await one.store.create("", subscription("lost"))
    await one.store.create("", subscription("lost too"))
    assert await other.create("urn:x:2") == ["urn:s:kept", "urn:s:lost", "urn:s:lost too"]
    await restore(one, backup)
    new = [f"new{n}" for n in range(later)]
    for name in new:
        await one.store.create("", subscription(name))
    expected = ["urn:s:kept", *(f"urn:s:{name}" for name in new)]
    assert await other.create("urn:x:3") == expected
    assert await one.create("urn:x:4") == expected


async def test_a_change_that_cannot_be_committed_is_answered_in_time(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is tried, and those that wait for their turn; later ones go through."""
    monkeypatch.setattr(transactions, "_PATIENCE", 0.3)
    one, tenant = processes[0], await processes[0].tenants.obtain("")
    await one.store.create("", subscription("there"))
    async with one.client.start_session() as session:
        await session.start_transaction()
        await tenant.entities.update_one({"_id": "epoch"}, {"$inc": {"n": 1}}, session=session)
        changes = (
            one.store.create("", subscription("a")),
            one.store.replace("", "urn:s:there", lambda old: updated(old, {"isActive": False}, CORE, NOW)),
            one.store.delete("", "urn:s:there"),
        )
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*changes, return_exceptions=True)
        await session.abort_transaction()
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    monkeypatch.undo()
    await one.store.create("", subscription("a"))
    assert [found.id for found, _ in await one.store.find("", 10, 0)] == ["urn:s:a", "urn:s:there"]


async def test_one_that_cannot_be_decoded_is_left_out_and_can_be_deleted(processes: list[Process]) -> None:
    one, other = processes
    for name in ("a", "bad", "c"):
        await one.store.create("", subscription(name))
    stored_ones = (await one.tenants.obtain("")).subscriptions
    await stored_ones.update_one({"_id": "urn:s:bad"}, {"$set": {"body": {"of": "another version"}}})
    assert await other.create("urn:x:1") == ["urn:s:a", "urn:s:c"], "it reads all of them"
    assert [found.id for found, _ in await one.store.find("", 2, 0)] == ["urn:s:a", "urn:s:c"], "a full page"
    with pytest.raises(ValueError, match="notification"):
        await one.store.get("", "urn:s:bad")
    await one.store.delete("", "urn:s:bad")
    assert await one.store.count("") == 2
    assert await other.create("urn:x:2") == ["urn:s:a", "urn:s:c"]
