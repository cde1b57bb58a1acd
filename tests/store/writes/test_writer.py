"""Group commit on a real MongoDB: two Writers on one database are two processes to it."""

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import pytest
from bson import encode
from bson.raw_bson import RawBSONDocument

from broker.clock import Clock
from broker.core import Entity, instant
from broker.core.change import Change, written
from broker.core.delivery.entry import Entry
from broker.core.entity import update
from broker.core.entity.update import Outcome, Rule
from broker.core.errors import AlreadyExists, BadRequestData, ResourceNotFound, Unavailable
from broker.core.jsonld.core_context import DEFAULT_VOCAB
from broker.core.query import Query
from broker.core.temporal import TemporalQuery, Window
from broker.core.temporal.recording import Recording
from broker.core.temporal.revision import Addition, AttributeDeletion, Removal, Revision
from broker.ports.changes import Settled, Triggered
from broker.ports.delivery import PendingRequest
from broker.ports.entities import Undecodable
from broker.store.background.clock_check import ClockCheck
from broker.store.entities.sweeper import Sweeper
from broker.store.history.buckets import unpack
from broker.store.history.evolution_store import MongoTemporal
from broker.store.history.records import single_document
from broker.store.pending.dead_letters import DeadLetterLimits
from broker.store.pending.outbox import MongoOutbox
from broker.store.pending.reaper import Reaper
from broker.store.registry.timers import Schedule
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenant, Tenants
from broker.store.writes import commit as commit_module
from broker.store.writes import moves
from broker.store.writes import writer as writer_module
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Draft, Planner
from broker.store.writes.queue import RequestOutcomes, Write
from broker.store.writes.statements import statement, without_history
from broker.store.writes.stored import Stored
from broker.store.writes.writer import Writer

N = DEFAULT_VOCAB + "n"


class Sink:
    """Who is told of changes: finds everything due to whom the test says."""

    def __init__(self) -> None:
        self.subscriptions: list[Triggered] = []
        self.told: list[Entry] = []
        self.earlier: dict[str, tuple[list[str], bool]] = {}
        self.epochs: list[int] = []
        self.error: Exception | None = None

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """Notes the epoch."""
        if self.error is not None:
            raise self.error
        self.epochs.append(epoch)

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """All there are."""
        return list(self.subscriptions) if any(written(change)) else []

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Notes the entry, and what was pending before it."""
        self.told.append(entry)
        self.earlier[entry.id] = [one.id for one in earlier], is_whole


class Process:
    """What one worker has of the store."""

    def __init__(self, stack: AsyncExitStack, name: str, group: int, limit: int, clock: Clock) -> None:
        self.stack, self.name, self.sink, self.clock = stack, name, Sink(), clock
        self.group, self.limit = group, limit

    async def open(self, uri: str, prefix: str) -> "Process":
        """Ready to write."""
        self.database = await open_database(f"{uri}&serverMonitoringMode=poll", self.stack)
        self.client = self.database.client
        self.tenants = Tenants(self.client, prefix)
        self.tenant = await self.tenants.obtain("")
        self.schedule = Schedule(self.client, prefix)
        committer = Committer(Planner(self.sink, self.clock, self.name, Recording()), self.schedule)
        self.writer = Writer(self.tenants, committer, group=self.group, limit=self.limit)
        self.sessions = self.writer.sessions
        self.stack.push_async_callback(self.writer.close)
        return self

    async def change(self, name: str, rule: Rule) -> Any:
        """One write."""
        return await self.writer.change("", f"urn:x:{name}", rule)

    async def together(self, *changes: tuple[str, Rule]) -> list[Any]:
        """Several writes of one request: they go into one group."""
        return await self.writer.change_many("", [(f"urn:x:{name}", rule) for name, rule in changes])

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Makes an entity `locked`, which a transaction of somebody else holds inside the block."""
        await self.together(create("locked"))
        async with self.client.start_session() as session:
            await session.start_transaction()
            await self.tenant.entities.update_one(
                {"_id": "urn:x:locked"}, {"$set": {"rev": 1}}, session=session
            )
            yield
            await session.abort_transaction()

    async def stored(self, name: str) -> dict[str, Any] | None:
        """The document of an entity that is there."""
        return await self.tenant.entities.find_one({"_id": f"urn:x:{name}", "type": {"$exists": True}})

    async def document(self, name: str) -> dict[str, Any]:
        """The document of an entity, whether it is there or not; empty if there is none."""
        return await self.tenant.entities.find_one({"_id": f"urn:x:{name}"}) or {}


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(mongo_uri: str) -> AsyncIterator[Start]:
    """Starts processes on one database that is the test's own."""
    prefix = f"w{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:

        async def one(*, group: int = 256, limit: int = 20_000, ahead: float = 0.0) -> Process:
            name, clock = secrets.token_hex(8), Clock(offset=ahead)
            process = await Process(stack, name, group, limit, clock).open(mongo_uri, prefix)
            await ClockCheck(process.database, clock).look()
            return process

        yield one


def entity(name: str, n: Any = 0) -> Entity:
    attrs = {N: [{"type": "Property", "value": n}]}
    return {"id": f"urn:x:{name}", "type": [DEFAULT_VOCAB + "T"], "attrs": attrs}


def create(name: str, n: Any = 0) -> tuple[str, Rule]:
    return name, update.create(entity(name, n))


def count(name: str) -> tuple[str, Rule]:
    """Adds one, and answers with the sum: what a lost update would spoil."""

    def rule(before: Entity | None, now: str) -> Outcome:
        if before is None:
            raise ResourceNotFound(name)
        n = before["attrs"][N][0]["value"] + 1
        return Outcome(_with(before, n, now), n)

    return name, rule


def _with(before: Entity, n: int, now: str) -> Entity:
    one = {**before["attrs"][N][0], "value": n, "modifiedAt": now}
    return {**before, "modifiedAt": now, "attrs": {**before["attrs"], N: [one]}}


def fault(name: str) -> tuple[str, Rule]:
    def rule(before: Entity | None, now: str) -> Outcome:
        raise RuntimeError("a bug")

    return name, rule


async def history_of(tenant: Tenant, name: str) -> list[Any]:
    """The values of n in the history of an entity, in order."""
    found = await tenant.history.find({"_id.e": f"urn:x:{name}", "_id.a": "~n"}, sort=[("_id", 1)]).to_list()
    buckets = tenant.packed.find({"_id.e": f"urn:x:{name}", "_id.a": "~n"})
    found += [one for bucket in await buckets.to_list() for one in unpack(bucket)]
    document = await tenant.entities.find_one({"_id": f"urn:x:{name}"}, {"h": 1}) or {}
    found += [single_document(document["_id"], one) for one in document.get("h", ()) if one["a"] == "~n"]
    found.sort(key=lambda one: (one["_id"]["t"], one["_id"]["s"]))
    return [one["i"].get("value") for one in found]


async def test_a_rule_that_fails_fails_alone(start: Start) -> None:
    one = await start()
    await one.together(create("a"))
    answers = await one.together(
        create("b"), create("a"), count("missing"), fault("c"), count("a"), create("d")
    )
    assert [type(answer) for answer in answers] == [
        type(None), AlreadyExists, ResourceNotFound, RuntimeError, int, type(None),
    ]  # fmt: skip
    assert await one.stored("b")
    assert await one.stored("d")
    assert await one.stored("c") is None
    with pytest.raises(AlreadyExists):
        await one.change(*create("a"))


async def test_writes_on_one_entity_in_one_group_see_each_other(start: Start) -> None:
    one = await start()
    answers = await one.together(create("a"), *[count("a") for _ in range(5)])
    assert answers == [None, 1, 2, 3, 4, 5]
    assert await history_of(one.tenant, "a") == [0, 1, 2, 3, 4, 5]


async def test_created_and_deleted_in_one_group(start: Start) -> None:
    one = await start()
    answers = await one.together(create("a"), ("a", update.delete("a")), count("a"), create("a", 7))
    assert [type(answer) for answer in answers] == [type(None), type(None), ResourceNotFound, type(None)]
    stored = await one.stored("a")
    assert stored is not None
    assert stored["attrs"]["~n"][0]["value"] == 7
    assert await history_of(one.tenant, "a") == [0, "urn:ngsi-ld:null", 7]
    await one.together(("a", update.delete("a")), create("b"), ("b", update.delete("b")))
    assert await one.stored("a") is await one.stored("b") is None


async def test_no_update_is_lost_between_two_processes(start: Start) -> None:
    """Counters that two processes add to at once come to the sum, in entity and history alike."""
    processes = [await start(), await start()]
    names = ["a", "b", "c"]
    await processes[0].together(*map(create, names))
    tasks = [processes[n % 2].change(*count(names[n % 3])) for n in range(300)]
    answers = await asyncio.gather(*tasks)
    for offset, name in enumerate(names):
        assert sorted(answers[offset::3]) == list(range(1, 101))
        stored = await processes[0].stored(name)
        assert stored is not None
        assert stored["attrs"]["~n"][0]["value"] == 100
        assert await history_of(processes[0].tenant, name) == list(range(101))


async def test_a_creation_that_two_processes_race_for_succeeds_once(start: Start) -> None:
    processes = [await start(), await start(), await start()]
    for n in range(10):
        answers = await asyncio.gather(
            *(one.change(*create(f"r{n}")) for one in processes), return_exceptions=True
        )
        kinds = sorted(type(answer).__name__ for answer in answers)
        assert kinds == ["AlreadyExists", "AlreadyExists", "NoneType"]


async def test_a_locked_entity_delays_only_itself(start: Start) -> None:
    """A transaction of somebody else holds one entity: all others go through as if it were not there."""
    one = await start()
    names = [f"e{n}" for n in range(50)]
    await one.together(*map(create, names))
    async with one.locked():
        stuck = asyncio.create_task(one.change(*count("locked")))
        async with asyncio.timeout(5):  # far less than a write is retried for
            for _ in range(3):
                await asyncio.gather(*(one.change(*count(name)) for name in names))
        assert not stuck.done()
    async with asyncio.timeout(1):
        assert await stuck == 1


async def test_groups_share_out_what_is_on_its_way(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load no group is small: what comes while others are on their way waits for its share."""
    one, sizes = await start(), list[int]()
    names = [f"e{n}" for n in range(64)]
    await asyncio.gather(*(one.change(*create(name)) for name in names))
    commit = Committer.commit

    async def counted(self: Committer, sessions: Any, tenant: Tenant, writes: list[Write]) -> list[Any]:
        sizes.append(len(writes))
        return await commit(self, sessions, tenant, writes)

    async def client(name: str) -> None:
        for _ in range(10):
            await one.change(*count(name))

    monkeypatch.setattr(Committer, "commit", counted)
    monkeypatch.setattr(writer_module, "_COMPANY", 60.0)
    await asyncio.gather(*map(client, names))
    assert sum(sizes) == 640
    assert len([size for size in sizes if size < 8]) <= 4  # but for the last ones


async def test_what_waits_for_company_does_not_wait_for_long(start: Start) -> None:
    one = await start()
    async with one.locked():
        stuck = [asyncio.create_task(one.change(*count("locked"))) for _ in range(20)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await one.change(*create("lone"))
        assert not any(task.done() for task in stuck)
    assert sorted(await asyncio.gather(*stuck)) == list(range(1, 21))


async def test_what_conflicts_for_too_long_is_answered(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.3)
    one = await start()
    async with one.locked():
        with pytest.raises(Unavailable):
            await one.change(*count("locked"))
    assert await one.change(*count("locked")) == 1


async def test_too_many_that_wait_are_refused(start: Start) -> None:
    one = await start(limit=10)
    answers = await asyncio.gather(*(one.change(*create(str(n))) for n in range(30)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 20
    assert one.writer.waiting == 0
    assert await one.change(*create("later")) is None


async def test_nothing_to_write_is_done_at_once(start: Start) -> None:
    one = await start()
    async with asyncio.timeout(1):
        assert await one.together() == []


async def test_a_long_batch_goes_in_piece_by_piece_in_order(start: Start) -> None:
    one = await start(group=4, limit=20)
    changes = [create("a"), *(count("a") for _ in range(60)), *(create(f"b{n}") for n in range(60))]
    batch = asyncio.create_task(one.together(*changes))
    await asyncio.sleep(0)
    assert 0 < one.writer.waiting <= 16
    alone = asyncio.create_task(one.change(*create("alone")))
    most = 0
    while not batch.done():
        most = max(most, one.writer.waiting)
        await asyncio.sleep(0)
    assert most < 20
    assert await alone is None
    assert await batch == [None, *range(1, 61), *[None] * 60]


async def test_pieces_that_find_no_room_for_long_fail(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.3)
    one = await start(group=4, limit=8)
    async with one.locked():
        locked = [count("locked") for _ in range(8)]
        answers = await one.together(*locked, *(create(f"b{n}") for n in range(8)))
    assert all(isinstance(answer, Unavailable) for answer in answers[:8])
    assert one.writer.waiting == 0
    assert await one.change(*count("locked")) == 1


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


BAD: dict[str, Callable[[], Any]] = {
    "too large": lambda: "x" * (16 * 1024**2 + 100),
    "too deep": lambda: deep(450),
    "no text": lambda: "\ud800",
}


@pytest.mark.parametrize("bad", list(BAD))
async def test_what_the_database_cannot_hold_is_the_requesters_fault_alone(start: Start, bad: str) -> None:
    one = await start()
    good = [create(f"g{n}") for n in range(6)]
    answers = await one.together(*good[:3], create("bad", BAD[bad]()), *good[3:], create("g0"))
    assert isinstance(answers[3], BadRequestData), answers[3]
    assert [answers[n] for n in (0, 1, 2, 4, 5, 6)] == [None] * 6
    assert isinstance(answers[7], AlreadyExists)
    assert await one.stored("bad") is None
    assert await history_of(one.tenant, "bad") == []


@pytest.mark.parametrize("slack", [100, 400, 900])
@pytest.mark.parametrize("subscribers", [0, 50])
async def test_close_to_what_fits_it_is_all_or_nothing(start: Start, slack: int, subscribers: int) -> None:
    """The entity may fit while its entry in the outbox, with all its subscribers, does not."""
    one = await start()
    one.sink.subscriptions = [Triggered(f"urn:s:{n}") for n in range(subscribers)]
    answers = await one.together(create("good"), create("large", "x" * (16 * 1024**2 - slack)))
    assert answers[0] is None
    is_there = await one.stored("large") is not None
    assert is_there == (answers[1] is None)
    assert is_there or isinstance(answers[1], BadRequestData)
    assert len(await history_of(one.tenant, "large")) == is_there
    assert await one.tenant.outbox.count_documents({"e": "urn:x:large"}) == (is_there and subscribers > 0)
    assert is_there or await one.document("large") == {}
    assert is_there == (slack > 400), "whoever subscribes"


async def test_who_wants_to_know_of_changes_cannot_veto_them(start: Start) -> None:
    """What was before does not fit beside what is now, unless it is compressed (see `test_entries`)."""
    one = await start()
    one.sink.subscriptions = [Triggered("urn:s:1", shows_changes=True)]
    texts = [letter * 8_600_000 for letter in "xy"]
    await one.together(create("a", texts[0]))

    def replace(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        return Outcome({**before, "attrs": {N: [{"type": "Property", "value": texts[1]}]}})

    assert await one.change("a", replace) is None
    stored = await one.stored("a")
    assert stored is not None
    assert stored["attrs"]["~n"][0]["value"] == texts[1]
    told = one.sink.told[-1]
    assert told.previous is not None
    assert told.previous[N][0]["value"] == texts[0]
    assert await one.tenant.outbox.count_documents({"e": "urn:x:a"}) == 2


def with_attrs(*names: str) -> tuple[str, Rule]:
    """Leaves an entity with these attributes and no others."""

    def rule(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        old = before["attrs"]
        attrs = {DEFAULT_VOCAB + one: [{"type": "Property", "value": one}] for one in names}
        return Outcome({**before, "attrs": {iri: old.get(iri, its) for iri, its in attrs.items()}})

    return "a", rule


async def test_many_attributes_are_stored_as_few_are(start: Start) -> None:
    """Statements for each of thousands would take longer than a transaction may."""
    one = await start()
    few, many, more = (
        [f"{letter}{n}" for n in range(size)] for letter, size in (("n", 1), ("m", 300), ("k", 300))
    )
    await one.together(create("a"))
    for names in (many, many + more, few + more[:5], more, few):
        await one.together(with_attrs(*names))
        stored = await one.stored("a")
        assert stored is not None
        assert stored["attrs"].keys() == {"~" + name for name in names}
        assert {its[0]["value"] for name, its in stored["attrs"].items() if name != "~n"} <= {*names}
        assert stored["_id"] == "urn:x:a"
    listed = (await one.document("a"))["past"]
    assert {*listed["attrs"]} == {"~" + name for name in ("n", *few, *many, *more)}
    assert len(listed["attrs"]) == len({*listed["attrs"]})
    assert listed["type"] == [DEFAULT_VOCAB + "T"]
    assert "deletedAt" not in listed
    kept = await one.tenant.history.distinct("_id.a", {"_id.e": "urn:x:a"})
    assert {*kept} >= {"~" + name for name in (*many, *more)}


async def test_an_entity_of_many_attributes_is_deleted_and_comes_back(start: Start) -> None:
    one = await start()
    many = {DEFAULT_VOCAB + f"m{n}": [{"type": "Property", "value": n}] for n in range(300)}
    large: Entity = {**entity("a"), "createdAt": "2026-07-01T12:00:00", "attrs": many}
    listings = []
    for rule in (update.create(large), update.delete("a"), update.create(large)):
        await one.together(("a", rule))
        listings.append((await one.document("a"))["past"])
    assert [len(listed["attrs"]) for listed in listings] == [300] * 3
    assert ["deletedAt" in listed for listed in listings] == [False, True, False]


def paths(update: Any) -> int:
    """How many members an update looks for one by one."""
    return sum(map(len, update.values()))


@pytest.mark.parametrize("size", [10, 100, 101, 3000])
def test_no_statement_looks_for_thousands_of_members(size: int) -> None:
    before = {**entity("a"), "attrs": {f"a{n}": [{"type": "Property", "value": n}] for n in range(size)}}
    after = {
        **before,
        "attrs": before["attrs"] | {f"b{n}": [{"type": "Property", "value": n}] for n in range(size)},
    }
    write = Write("", "urn:x:a", lambda *_: Outcome(after), 0.0, RequestOutcomes(cast(Any, None), 1), 0)
    stored = Stored(before, 1, has_past=True, is_listed=True)
    judge = Planner(Sink(), Clock(), "p" * 16, Recording())
    [draft] = judge.plan("", [write], {"urn:x:a": stored}).drafts.values()
    assert paths(statement(draft).plain["u"]) < 220
    assert len(draft.history) == size


async def test_a_bad_write_among_others_of_its_entity_fails_alone(start: Start) -> None:
    one = await start()
    await one.together(create("a"))

    def spoil(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        return Outcome(
            {**before, "attrs": {**before["attrs"], "x": [{"type": "Property", "value": "\ud800"}]}}
        )

    answers = await one.together(count("a"), count("a"), ("a", spoil), count("a"), count("a"))
    assert [type(answer) for answer in answers] == [int, int, BadRequestData, int, int]
    assert await history_of(one.tenant, "a") == [0, 1, 2, 3, 4]


async def test_many_large_entities_in_one_group(start: Start) -> None:
    """Together more than one command to MongoDB may hold; each by itself is fine."""
    one = await start()
    answers = await one.together(*(create(f"l{n}", "x" * 6_000_000) for n in range(9)))
    assert answers == [None] * 9
    assert await one.tenant.entities.count_documents({"_id": {"$regex": "^urn:x:l"}}) == 9


async def test_entity_history_and_outbox_come_together_or_not_at_all(start: Start) -> None:
    one = await start()
    one.sink.subscriptions = [Triggered("urn:s:1")]
    await one.together(create("a"), count("a"), create("bad", "\ud800"))
    assert await history_of(one.tenant, "a") == [0, 1]
    entries = (await one.document("a"))["o"]
    assert [entry["entity"]["attrs"]["~n"][0]["value"] for entry in entries] == [0, 1]
    assert [entry["id"] for entry in entries] == [entry.id for entry in one.sink.told]
    assert await one.document("bad") == {}


async def test_the_sink_hears_of_what_was_committed_once_and_in_order(start: Start) -> None:
    processes = [await start(), await start()]
    for one in processes:
        one.sink.subscriptions = [Triggered("urn:s:1")]
    await processes[0].together(create("a"))
    await asyncio.gather(*(processes[n % 2].change(*count("a")) for n in range(60)))
    told = [[entry for entry in one.sink.told] for one in processes]
    for entries in told:
        assert [entry.rev for entry in entries] == sorted(entry.rev for entry in entries)
    values = [_n(e) for entries in told for e in entries]
    assert sorted(values) == list(range(61))
    both = sorted((e for entries in told for e in entries), key=lambda entry: entry.rev)
    assert [_n(e) for e in both] == list(range(61)), "revisions are in order"


def _n(entry: Entry) -> Any:
    assert entry.entity is not None
    return entry.entity["attrs"][N][0]["value"]


async def test_the_sink_hears_what_was_pending_before(start: Start) -> None:
    """Of whatever process, and whether all of that is in the document."""
    one, other = await start(), await start()
    one.sink.subscriptions = other.sink.subscriptions = [Triggered("urn:s:1")]
    await other.together(create("a"))
    await one.change(*count("a"))
    await one.change(*count("a"))
    ids = [entry.id for process in (other, one) for entry in process.sink.told]
    earlier = other.sink.earlier | one.sink.earlier
    assert [earlier[entry] for entry in ids] == [([], True), (ids[:1], True), (ids[:2], True)]
    for _ in range(moves.PENDING):
        await one.change(*count("a"))
    last = one.sink.told[-1].id
    assert one.sink.earlier[last][1] is False
    document = await one.document("a")
    apart = await one.tenant.outbox.find({"e": "urn:x:a"}, sort=[("_id", 1)]).to_list()
    stored = [entry["_id"] for entry in apart] + [entry["id"] for entry in document["o"]]
    assert stored == [ids[0], *(entry.id for entry in one.sink.told)], "nothing is lost or turned round"
    assert [_of(entry) for entry in (*apart, *document["o"])] == list(range(len(stored)))


async def test_writes_that_are_due_to_nobody_do_not_hide_what_is_pending(start: Start) -> None:
    """Nor do those that throttling suppresses."""
    one, other = await start(), await start()
    other.sink.subscriptions = [Triggered("urn:s:1")]
    await other.together(create("a"))
    await one.change(*count("a"))
    one.sink.subscriptions = [Triggered("urn:s:1", throttling=10**15)]
    await one.tenant.throttles.insert_one({"_id": "urn:s:1", "at": one.clock.server()})
    await one.change(*count("a"))
    assert one.sink.told == []
    one.sink.subscriptions = [Triggered("urn:s:1")]
    await one.change(*count("a"))
    [first], [last] = other.sink.told, one.sink.told
    assert one.sink.earlier[last.id] == ([first.id], True)


def _of(entry: dict[str, Any]) -> Any:
    return entry["entity"]["attrs"]["~n"][0]["value"]


async def test_nothing_that_is_pending_is_hidden_by_the_reaper(start: Start) -> None:
    """It comes by all the time, while entries move to the outbox and some of them are settled."""
    one = await start()
    one.sink.subscriptions = [Triggered("urn:s:1")]
    await one.together(create("a"))
    outbox, reaper = MongoOutbox(one.tenants, one.name, DeadLetterLimits(60, 4)), Reaper(one.tenants)
    done, wanted = False, {"urn:x:a": PendingRequest({"urn:s:1"}, 0, 1000)}

    async def reap() -> None:
        while not done:
            await reaper.reap("")

    reaping = asyncio.create_task(reap())
    for n in range(1, 100):
        await one.change(*count("a"))
        found = (await outbox.load("", wanted))["urn:x:a"]
        assert [_n(entry) for entry in found.entries] == [*range(n - len(found.entries) + 1, n + 1)]
        assert found.entries[0].id == one.sink.told[0].id
        if n % 12 == 0:
            over = [entry.id for entry in found.entries]
            await outbox.settle("", Settled({"urn:x:a": over}))
            one.sink.told.clear()
    done = True
    await reaping


async def test_history_moves_out_of_the_document_without_a_loss(start: Start) -> None:
    """By two processes at once, with what is observed late in between, and large instances."""
    one, other = await start(), await start()
    await one.together(create("a"))
    await asyncio.gather(*((one, other)[n % 2].change(*count("a")) for n in range(500)))
    assert await history_of(one.tenant, "a") == list(range(501))
    document = await one.document("a")
    assert len(document["h"]) <= moves.HELD_INSTANCES
    assert await one.tenant.packed.count_documents({}) > 1
    assert await one.tenant.history.count_documents({}) == 0
    await one.together(create("large", "x" * 20_000), create("small", 1))
    assert await history_of(one.tenant, "large") == ["x" * 20_000]
    assert "h" not in await one.document("large") or not (await one.document("large"))["h"]
    assert len((await one.document("small"))["h"]) == 1


async def test_what_fills_documents_by_itself_can_be_written(start: Start) -> None:
    """9 MB in place of 9 MB, and thousands of attributes beside thousands, with history and entries."""
    one = await start()
    one.sink.subscriptions = [Triggered("urn:s:1", shows_changes=False)]
    big = "x" * 9_000_000
    await one.together(create("a", big))

    def other(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        return Outcome({**before, "attrs": {N: [{"type": "Property", "value": big + "y"}]}})

    assert await one.together(("a", other)) == [None]
    assert [len(str(value)) for value in await history_of(one.tenant, "a")] == [9_000_000, 9_000_001]
    many = {f"{DEFAULT_VOCAB}n{n}": [{"type": "Property", "value": n}] for n in range(9000)}

    def more(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        added = {f"{iri}-{len(before['attrs'])}": value for iri, value in many.items()}
        return Outcome({**before, "attrs": {**before["attrs"], **added}})

    await one.together(create("b"))
    assert await one.together(("b", more)) == [None]
    assert await one.together(("b", more)) == [None]
    assert await one.tenant.history.count_documents({"_id.e": "urn:x:b", "_id.a": {"$ne": "~n"}}) == 18_000
    assert len((await one.document("b"))["past"]["attrs"]) == 18_001


async def test_the_sink_is_brought_to_the_epoch_of_each_commit(start: Start) -> None:
    one = await start()
    await one.tenant.entities.update_one({"_id": "epoch"}, {"$set": {"n": 41}})
    await one.change(*create("a"))
    assert one.sink.epochs == [41]


async def test_a_sink_that_fails_answers_everybody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "PATIENCE", 0.1)
    one = await start()
    one.sink.error = RuntimeError("a bug")
    answers = await one.together(create("a"), create("b"))
    assert [type(answer) for answer in answers] == [RuntimeError] * 2
    one.sink.error = Unavailable("away")
    answers = await one.together(create("a"), create("b"))
    assert [type(answer) for answer in answers] == [Unavailable] * 2
    one.sink.error = None
    assert await one.together(create("a"), create("b")) == [None, None]


async def test_sessions_that_others_end_lose_nothing(start: Start) -> None:
    """Who takes a living process for dead ends its sessions: its writes go through all the same."""
    one = await start()
    await one.together(*(create(str(n)) for n in range(20)))
    ids = [{"id": session.session_id["id"]} for session in one.sessions]
    done = False

    async def kill() -> None:
        while not done:
            await one.client.admin.command({"killSessions": ids})
            await asyncio.sleep(random.uniform(0.005, 0.04))

    killer = asyncio.create_task(kill())
    for expected in range(1, 41):
        answers = await asyncio.gather(*(one.change(*count(str(n))) for n in range(20)))
        assert answers == [expected] * 20, "a commit was done twice"
    done = True
    await killer
    assert await history_of(one.tenant, "0") == list(range(41))


async def test_close_answers_all_that_waits(start: Start) -> None:
    one = await start(group=4)
    pending = [asyncio.create_task(one.change(*create(str(n)))) for n in range(40)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await one.writer.close()
        assert await asyncio.gather(*pending) == [None] * 40


async def test_sessions_that_wrote_are_in_nobodys_way(start: Start) -> None:
    """After the writer is closed, deliveries are settled, and the lease is given up."""
    one = await start()
    await one.together(create("a"), create("b"))
    await one.together(count("a"), count("b"))
    await one.writer.close()
    for _ in range(8):
        await asyncio.gather(
            *(one.tenant.tallies.update_one({"_id": n}, {"$inc": {"n": 1}}, upsert=True) for n in range(4))
        )
    assert [document["n"] async for document in one.tenant.tallies.find()] == [8] * 4


async def test_close_waits_for_what_was_kept_back(start: Start) -> None:
    one = await start()
    async with one.locked():
        stuck = asyncio.create_task(one.change(*count("locked")))
        await asyncio.sleep(0.1)
        closing = asyncio.create_task(one.writer.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
    async with asyncio.timeout(5):
        await closing
    assert await stuck == 1


async def test_revisions_rise_and_times_are_true_whatever_other_clocks_say(start: Start) -> None:
    one = await start()
    await one.together(create("a"))
    ahead = time.time_ns() // 1000 + 3_600_000_000
    await one.tenant.entities.update_one({"_id": "urn:x:a"}, {"$set": {"rev": ahead}})
    await one.change(*count("a"))
    stored = await one.stored("a")
    assert stored is not None
    assert stored["rev"] > ahead
    assert stored["modifiedAt"] < instant.of_micros(ahead - 3_500_000_000)
    assert await history_of(one.tenant, "a") == [0, 1]


async def test_one_wrong_clock_poisons_nobody(start: Start) -> None:
    """A process one hour ahead writes an entity; a healthy one changes it, and creates others afterwards."""
    wrong, healthy = await start(ahead=3600), await start()
    for one in (wrong, healthy):
        one.sink.subscriptions = [Triggered("urn:s:1")]
    await wrong.together(create("a"))
    await healthy.change(*count("a"))
    before = healthy.clock.now()
    brief = {**entity("b"), "expiresAt": instant.of_micros(before + 600_000_000)}
    await healthy.change("b", update.create(brief))
    a, b = await healthy.stored("a"), await healthy.stored("b")
    assert a is not None
    assert b is not None
    assert a["rev"] > before + 3_500_000_000, "what others remember of it is of earlier revisions"
    assert instant.micros(a["modifiedAt"]) <= before
    assert before <= instant.micros(b["createdAt"]) == b["rev"] < before + 60_000_000
    await Sweeper(wrong.client["tasks"]["tasks"], wrong.tenants, wrong.writer, "p" * 16, wrong.clock).sweep(
        ""
    )
    assert await wrong.change(*count("b")) == 1, "nor does the wrong one take it for expired"
    assert await healthy.stored("b") is not None
    first, second = wrong.sink.told[0], healthy.sink.told[0]
    assert first.rev < second.rev, "what is told of an entity stays in order"
    assert abs(first.at - second.at) < 60_000_000, "and its age is told by the database's time"


async def test_history_tells_true_times_of_what_is_ahead(start: Start) -> None:
    wrong, healthy = await start(ahead=3600), await start()
    await wrong.together(create("a"))
    early = instant.of_micros(healthy.clock.now() - 60_000_000)
    late = instant.of_micros(healthy.clock.now() + 60_000_000)
    await healthy.change(*count("a"))
    await healthy.change(*count("a"))
    store = MongoTemporal(healthy.tenants, page=100, timeout=30)
    for timeproperty in ("createdAt", "modifiedAt"):
        window = Window("between", early, late, timeproperty)
        found = await store.evolution("", "urn:x:a", TemporalQuery(Query(), window=window, sys_attrs=True))
        assert found is not None
        assert [one["value"] for one in found.attrs[N]] == [1, 2], "the first was written in an hour from now"
        assert all(early < one["createdAt"] < late for one in found.attrs[N])
    keys = [one["s"] for one in (await healthy.document("a"))["h"]]
    assert len(set(keys)) == 3


async def test_a_throttle_that_a_wrong_clock_set_silences_nobody(start: Start) -> None:
    wrong, healthy = await start(ahead=3600), await start()
    for one in (wrong, healthy):
        one.sink.subscriptions = [Triggered("urn:s:t", throttling=60_000_000)]
    await wrong.together(create("a"))
    await healthy.change(*count("a"))
    assert (len(wrong.sink.told), len(healthy.sink.told)) == (1, 0), "both go by the database's time"
    await healthy.tenant.entities.update_one({"_id": "urn:x:a"}, {"$set": {"o": []}})
    await healthy.schedule.timers.delete_many({})
    ahead = time.time_ns() // 1000 + 3_600_000_000
    await healthy.tenant.throttles.update_one({"_id": "urn:s:t"}, {"$set": {"at": ahead}})
    await healthy.change(*count("a"))
    await healthy.change(*count("a"))
    assert len(healthy.sink.told) == 1, "a time in the future counts as never, and is set right"
    found = await healthy.tenant.throttles.find_one({"_id": "urn:s:t"})
    assert found is not None
    assert found["at"] < ahead


DAMAGED: dict[str, Any] = {
    "no revision": {"$unset": {"rev": 1}},
    "no type": {"$unset": {"type": 1}},
    "no attributes": {"$unset": {"attrs": 1}},
    "attributes that are none": {"$set": {"attrs": 7}},
    "an attribute of an unknown kind": {"$set": {"attrs.~n": [{"type": "Prophecy", "value": 1}]}},
    "an attribute without its value": {"$set": {"attrs.~n": [{"type": "Property"}]}},
}


async def spoil(process: Process, name: str, damage: str) -> None:
    """Damages a stored entity, in a way, or to bytes that are no text."""
    entities, wanted = process.tenant.entities, {"_id": f"urn:x:{name}"}
    if damage in DAMAGED:
        await entities.update_one(wanted, DAMAGED[damage])
        return
    document = await entities.find_one_and_delete(wanted)
    assert document is not None
    raw = encode({**document, "attrs": {"~n": [{"type": "Property", "value": "spoilt"}]}})
    await entities.insert_one(RawBSONDocument(raw.replace(b"spoilt", b"spoil\xff")))


@pytest.mark.parametrize("damage", [*DAMAGED, "bytes that are no text"])
async def test_a_stored_entity_that_cannot_be_decoded_fails_alone(start: Start, damage: str) -> None:
    one = await start()
    await one.together(create("a"), create("bad"), create("b"))
    await spoil(one, "bad", damage)
    answers = await one.together(
        count("a"), count("bad"), create("c"), ("bad", update.delete("bad")), count("b")
    )
    assert [type(answer) for answer in answers] == [int, Undecodable, type(None), Undecodable, int]
    assert "urn:x:bad" in str(answers[1])
    assert await history_of(one.tenant, "bad") == [0]
    assert await history_of(one.tenant, "a") == [0, 1]


@pytest.mark.parametrize(
    "damage", [{"$unset": {"rev": 1}}, {"$set": {"past": 7}}, {"$set": {"h": [{"i": 1}]}}], ids=str
)
async def test_a_revision_of_what_cannot_be_decoded_fails_alone(start: Start, damage: dict[str, Any]) -> None:
    one = await start()
    await one.together(create("a"), create("bad"), create("b"))
    await one.tenant.entities.update_one({"_id": "urn:x:bad"}, damage)
    before = await one.document("bad")
    addition = Addition([], {N: [{"type": "Property", "value": 5, "observedAt": "2026-01-01T00:00:00"}]})
    changes: list[tuple[str, Revision]] = [
        ("a", addition), ("bad", addition), ("bad", AttributeDeletion(N)), ("bad", Removal()), ("b", addition)
    ]  # fmt: skip
    answers = await one.writer.change_many("", [(f"urn:x:{name}", change) for name, change in changes])
    assert [type(answer) for answer in answers] == [bool, *[Undecodable] * 3, bool]
    assert await one.document("bad") == before
    assert await history_of(one.tenant, "b") == [5, 0]


async def test_what_nobody_foresaw_fails_alone(start: Start) -> None:
    """A state that a rule left in a shape that has no stored form, say."""
    one = await start()
    await one.together(*(create(str(n)) for n in range(7)))

    def prophecy(before: Entity | None, now: str) -> Outcome:
        assert before is not None
        return Outcome({**before, "attrs": {N: [{"type": "Prophecy", "value": 1}]}})

    changes = [count(str(n)) for n in range(7)]
    answers = await one.together(*changes[:3], ("3", prophecy), *changes[4:])
    assert [type(answer) for answer in answers] == [int, int, int, KeyError, int, int, int]
    assert await one.change(*count("3")) == 1


@pytest.mark.parametrize("damage", ["a statement", "an answer", "a revision"])
async def test_a_fault_of_ours_while_a_group_is_committed_fails_alone_and_nothing_is_done_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    one = await start()
    one.sink.subscriptions = [Triggered("urn:s:1")]
    await one.together(*(create(str(n)) for n in range(7)))
    changes: list[tuple[str, Any]] = [count(str(n)) for n in range(7)]
    expected: list[type] = [int] * 7
    if damage == "a statement":

        def faulty(made: Callable[[Draft], Any]) -> Callable[[Draft], Any]:
            return lambda draft: made(draft) if draft.id != "urn:x:3" else 1 / 0

        monkeypatch.setattr(commit_module, "statement", faulty(statement))
        monkeypatch.setattr(moves, "without_history", faulty(without_history))
        expected[3] = ZeroDivisionError
    elif damage == "an answer":
        monkeypatch.setattr(one.sink, "committed", lambda *_: 1 / 0)
    else:
        changes[3] = "3", AttributeDeletion(cast(Any, 7))
        expected[3] = AttributeError
    answers = await one.together(*changes, create("new"))
    assert [type(answer) for answer in answers] == [*expected, type(None)]
    monkeypatch.undo()
    assert await one.change(*count("3")) == 1 + (expected[3] is int)
    assert await history_of(one.tenant, "0") == [0, 1]


async def test_what_nobody_waits_for_is_dropped_before_its_commit(start: Start) -> None:
    """Sixty-four clients send overlapping batches and leave."""
    one = await start(group=20)
    await one.together(*(create(str(n)) for n in range(100)))
    batches = [asyncio.create_task(one.together(*(count(str(n)) for n in range(100)))) for _ in range(64)]
    stays = asyncio.create_task(one.change(*count("0")))
    await asyncio.sleep(0)
    assert one.writer.waiting > 1000
    for batch in batches:
        batch.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError)
        for end in await asyncio.gather(*batches, return_exceptions=True)
    )
    assert one.writer.waiting <= 1, "only what somebody waits for"
    assert await stays == len(await history_of(one.tenant, "0")) - 1
    await one.writer.close()
    counts = [len(await history_of(one.tenant, str(n))) - 1 for n in range(100)]
    assert sum(counts) <= 2 * 20 + 1, "no more than the groups that were on their way"
    for n, expected in enumerate(counts):
        stored = await one.stored(str(n))
        assert stored is not None
        assert stored["attrs"]["~n"][0]["value"] == expected


async def test_a_batch_whose_client_left_is_fed_no_further(start: Start) -> None:
    one = await start(group=4, limit=20)
    batch = asyncio.create_task(one.together(*(create(f"b{n}") for n in range(400))))
    while await one.tenant.entities.estimated_document_count() < 5:  # noqa: ASYNC110
        await asyncio.sleep(0)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    await one.writer.close()
    assert await one.tenant.entities.estimated_document_count() < 100


async def test_what_conflicts_is_not_tried_again_for_nobody(start: Start) -> None:
    one = await start()
    async with one.locked():
        stuck = asyncio.create_task(one.change(*count("locked")))
        await asyncio.sleep(0.1)
        stuck.cancel()
        async with asyncio.timeout(5):
            await one.writer.close()
    assert await history_of(one.tenant, "locked") == [0]
