"""A database that the version before wrote (`make_format1`), taken over on a real MongoDB."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from broker.clock import Clock
from broker.core import Entity
from broker.core.entity import update
from broker.core.jsonld.core_context import DEFAULT_VOCAB
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.core.temporal.recording import Recording
from broker.ports.delivery import PendingRequest
from broker.store.history.evolution_store import MongoTemporal
from broker.store.history.packer import Packer, Packing
from broker.store.pending.dead_letters import DeadLetterLimits, MongoDeadLetters
from broker.store.pending.outbox import MongoOutbox, adopt, owners
from broker.store.registry.subscriptions import MongoSubscriptions
from broker.store.registry.timers import Schedule
from broker.store.upgrade.format import FORMAT, UpgradeError, require_current, upgrade
from broker.store.upgrade.format1 import TenantUpgrade
from broker.store.wire import codec
from broker.store.wire.tenants import Tenants, database_name
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Planner
from broker.store.writes.writer import Writer
from tests.store.upgrade.make_format1 import ODD, load
from tests.store.writes.test_writer import Sink

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
TENANTS = ("", "city", ODD)
ALL = TemporalQuery(Query(None), sys_attrs=True)


class Crash(Exception):
    """The process dies."""


class Old:
    """A database of format 1, and what the file says of it."""

    def __init__(self, client: Client, prefix: str, dump: Document) -> None:
        self.client, self.prefix, self.dump = client, prefix, dump
        self.tenants = Tenants(client, prefix)

    def documents(self, tenant: str, collection: str) -> list[Document]:
        """The documents as the version before wrote them."""
        suffix = database_name("", tenant)
        found: list[Document] = self.dump["databases"][suffix][collection]["documents"]
        return deepcopy(found)

    def answers(self, tenant: str, path: str) -> Any:
        """What the version before answered."""
        return self.dump["answers"][tenant][path][1]

    async def upgrade(self) -> None:
        """Takes the database over."""
        await upgrade(self.client, self.prefix, patience=0.1)

    async def upgraded(self, tenant: str, batch: int, batches: int) -> None:
        """Takes a tenant over, but dies after so many batches."""
        left = iter(range(batches))

        def report(collection: str, documents: int) -> None:
            if next(left, None) is None:
                raise Crash

        await TenantUpgrade(await self.tenants.obtain(tenant), report, batch).run()

    async def now(self) -> Document:
        """All that is in the databases, but for who has which lease."""
        found: Document = {}
        for tenant in TENANTS:
            database = self.client[database_name(self.prefix, tenant)]
            for name in await database.list_collection_names():
                documents = (
                    await database[name].find({"_id": {"$ne": "upgrade"}}, sort=[("_id", 1)]).to_list()
                )
                indexes = [one["name"] async for one in await database[name].list_indexes()]
                found[f"{tenant}.{name}"] = sorted(indexes), documents
        return found


@pytest.fixture(scope="module")
async def client(mongo_uri: str) -> AsyncIterator[Client]:
    async with AsyncMongoClient[Document](mongo_uri, serverMonitoringMode="poll") as client:
        yield client


async def loaded(client: Client) -> Old:
    prefix = f"u{secrets.token_hex(4)}"
    return Old(client, prefix, await load(client, prefix))


@pytest.fixture
async def old(client: Client) -> Old:
    return await loaded(client)


@pytest.fixture(scope="module")
async def new(client: Client) -> Old:
    """The same, taken over; for tests that only read."""
    old = await loaded(client)
    await old.upgrade()
    return old


@pytest.mark.parametrize("tenant", TENANTS)
async def test_entities_are_what_they_were(new: Old, tenant: str) -> None:
    there = {one["_id"]: one async for one in (await new.tenants.obtain(tenant)).entities.find()}
    evolutions = {one["_id"] for one in new.documents(tenant, "evolutions")}
    for before in new.documents(tenant, "entities"):
        after = there.pop(before["_id"])
        assert "by" not in after
        if "type" not in before:
            assert after == before  # the epoch
            continue
        assert ("unlisted" in after) is ("unlisted" in before and before["_id"] in evolutions)
        assert after["rev"] >= before["rev"]
        assert [after[name] for name in ("shape", "attrs")] == [before[name] for name in ("shape", "attrs")]
        before.pop("by", None)
        assert codec.decode_entity(after) == codec.decode_entity(before)
    assert not any("type" in one for one in there.values())


@pytest.mark.parametrize("tenant", TENANTS)
async def test_evolutions_are_in_the_documents_of_entities(new: Old, tenant: str) -> None:
    handle = await new.tenants.obtain(tenant)
    there = {one["_id"]: one async for one in handle.entities.find({"past": {"$exists": True}})}
    assert there.keys() == {one["_id"] for one in new.documents(tenant, "evolutions")}
    for before in new.documents(tenant, "evolutions"):
        after = there[before["_id"]]
        gone = {"_id", "rev", "by", "steps", "packed"}
        assert after["past"] == {name: value for name, value in before.items() if name not in gone}
        assert after["rev"] >= max(1, before.get("rev", 0))
        assert (after["pk"], after["pn"], "gone" in after) == (1, 0, False)
        assert after.get("p", {}).keys() == set(before.get("packed", ()))
    for one in new.documents(tenant, "packed"):
        key = one["_id"]
        assert there[key["e"]]["p"][key["a"]] >= one["u"]
    assert "evolutions" not in await handle.entities.database.list_collection_names()


@pytest.mark.parametrize("tenant", TENANTS)
async def test_the_past_is_what_it_was(new: Old, tenant: str) -> None:
    temporal = MongoTemporal(new.tenants, page=1000, timeout=30)
    for before in new.documents(tenant, "evolutions"):
        found = await temporal.evolution(tenant, before["_id"], ALL)
        shown = new.answers(tenant, f"temporal/entities/{before['_id']}?options=sysAttrs")
        assert found is not None
        assert _ids(found.attrs.values()) == _ids(many for many in shown.values() if isinstance(many, list))


def _ids(attrs: Any) -> list[str]:
    return sorted(
        one["instanceId"] for many in attrs for one in many if isinstance(one, dict) and "instanceId" in one
    )


async def test_the_packer_looks_at_everything_once(old: Old) -> None:
    await old.upgrade()
    packer = Packer(old.client[old.prefix]["tasks"], old.tenants, "p" * 16, Packing(0.0))
    handle = await old.tenants.obtain("")
    async with packer.session:
        await packer.pack_tenant("")
    assert await handle.entities.count_documents({"pk": 1}) == 0


async def test_an_entity_that_comes_again_continues_its_past(old: Old) -> None:
    await old.upgrade()
    there = await (await old.tenants.obtain("")).entities.find_one({"_id": "urn:room:deleted"})
    assert there is not None
    assert "type" not in there
    attrs = {DEFAULT_VOCAB + "heat": [{"type": "Property", "value": 5}]}
    again: Entity = {"id": "urn:room:deleted", "type": [DEFAULT_VOCAB + "Room"], "attrs": attrs}
    judge = Planner(Sink(), Clock(), "a" * 16, Recording())
    committer = Committer(judge, Schedule(old.client, old.prefix))
    writer = Writer(old.tenants, committer, group=10, limit=100, in_flight=1)
    await writer.change("", "urn:room:deleted", update.create(again))
    await writer.close()
    before = await old.now()
    await old.upgraded("", 3, 1000)  # a parent that was paused goes on: it finds nothing old
    assert await old.now() == before
    found = await MongoTemporal(old.tenants, page=1000, timeout=30).evolution("", "urn:room:deleted", ALL)
    assert found is not None
    values = [one.get("value") for one in found.attrs[DEFAULT_VOCAB + "heat"]]
    assert (values[0], values[-1], found.deleted_at) == (3, 5, None)


@pytest.mark.parametrize("tenant", ["", "city"])
async def test_subscriptions_are_what_they_were(new: Old, tenant: str) -> None:
    subscriptions = MongoSubscriptions(new.client, new.tenants, Schedule(new.client, new.prefix))
    found = {one.id: tally for one, tally in await subscriptions.find(tenant, 100, 0)}
    tallies = {one["_id"]: one for one in new.documents(tenant, "tallies")}
    assert found.keys() == {one["_id"] for one in new.documents(tenant, "subscriptions")}
    for name, tally in found.items():
        before = tallies.get(name, {})
        assert (tally.sent, tally.failed) == (before.get("sent", 0), before.get("failed", 0))
    [throttle] = new.documents(tenant, "throttles")
    assert await subscriptions.last_due(tenant, "urn:sub:throttled") == throttle["at"]
    epoch, _ = await subscriptions.current_epoch(tenant)
    assert epoch == len(new.documents(tenant, "subscription_log"))
    timers = await new.client[new.prefix]["timers"].find().to_list()
    assert sorted(timers, key=lambda one: one["_id"]) == new.documents("", "timers")


@pytest.mark.parametrize("tenant", ["", "city"])
async def test_pending_entries_are_what_they_were(new: Old, tenant: str) -> None:
    outbox = MongoOutbox(new.tenants, "a" * 16, DeadLetterLimits(60.0, 100))
    before = new.documents(tenant, "outbox")
    due: dict[str, set[str]] = {}
    for one in before:
        due.setdefault(one["e"], set()).update(one["due"])
    loaded = await outbox.load(tenant, {one: PendingRequest(who, 0, 1000) for one, who in due.items()})
    assert all(one.is_whole for one in loaded.values())
    pending = {one: its.entries for one, its in loaded.items()}
    assert await outbox.count(tenant) == len(before)
    found = [entry for many in pending.values() for entry in many]
    assert sorted(one.id for one in found) == [one["_id"] for one in before]
    by_id = {one.id: one for one in found}
    for one in before:
        entry = by_id[one["_id"]]
        assert (entry.rev, entry.at, entry.by) == (one["stamp"], one["stamp"], one["by"])
        assert (entry.entity_id, entry.subscriptions) == (one["e"], set(one["due"]))
        assert entry.is_report is one.get("report", False)
        if not entry.is_report:
            assert entry.entity == codec.decode_entity(one["entity"])
            assert (entry.previous is None) is ("was" not in one)
    for many in pending.values():
        assert [one.rev for one in many] == sorted(one.rev for one in many)


@pytest.mark.parametrize("tenant", ["", "city"])
async def test_documents_of_entities_say_that_something_is_pending(new: Old, tenant: str) -> None:
    handle = await new.tenants.obtain(tenant)
    newest: dict[str, int] = {}
    for one in new.documents(tenant, "outbox"):
        if "report" not in one:
            newest[one["e"]] = max(newest.get(one["e"], 0), one["stamp"])
    there = {one["_id"]: one async for one in handle.entities.find({"ov": True})}
    assert there.keys() == newest.keys()
    assert all(there[name]["rev"] >= stamp for name, stamp in newest.items())
    gone = {name for name, one in there.items() if "gone" in one}
    assert gone == {"urn:secret:gone"}  # it is not there, and has no past
    assert await handle.entities.count_documents({"gone": {"$exists": True}}) == 1


async def test_pending_entries_are_inherited(old: Old) -> None:
    await old.upgrade()
    handle, heir = await old.tenants.obtain(""), "a" * 16
    [dead] = await owners(handle)
    await adopt(handle, dead, heir)
    before = old.documents("", "outbox")
    outbox = MongoOutbox(old.tenants, heir, DeadLetterLimits(60.0, 100))
    surveyed = await outbox.survey("", "", 100)
    assert [one for one, _ in surveyed] == sorted({one["e"] for one in before})
    everybody = set().union(*(who for _, who in surveyed))
    assert everybody == {who for one in before for who in one["due"]}
    assert await outbox.page("", "", everybody, 100) == [one for one, _ in surveyed]


async def test_the_time_of_an_entry_may_be_another_than_its_revision(old: Old) -> None:
    """As a version in between wrote it."""
    handle = await old.tenants.obtain("")
    await handle.outbox.update_many({}, {"$set": {"time": 7}})
    await handle.undelivered.update_many({}, {"$set": {"time": 8}})
    await old.upgrade()
    assert await handle.outbox.distinct("at") == [7]
    assert await handle.undelivered.distinct("at") == [8]
    for collection in (handle.outbox, handle.undelivered):
        assert await collection.count_documents({"st": {"$lt": 9}}) == 0
        assert (
            await collection.count_documents(
                {"$or": [{"time": {"$exists": True}}, {"stamp": {"$exists": True}}]}
            )
            == 0
        )


@pytest.mark.parametrize("tenant", ["", "city"])
async def test_dead_letters_are_what_they_were(new: Old, tenant: str) -> None:
    undelivered = MongoDeadLetters(new.client, new.tenants, Sink(), Clock(), "a" * 16)
    for name in ("urn:sub:refused", "urn:sub:refused-periodic"):
        before = new.answers(tenant, f"/eridanus/v1/subscriptions/{name}/deliveries?limit=100")
        found = await undelivered.find(tenant, name, 100, 0)
        assert [
            (one.id, one.entity, one.reason, one.changed_at + "Z", one.given_up_at + "Z") for one in found
        ] == [
            (one["id"], one.get("entityId"), one["reason"], one["changedAt"], one["givenUpAt"])
            for one in before
        ]
        assert await undelivered.count(tenant, name) == len(before) > 0


async def test_dead_letters_can_be_sent_again(old: Old) -> None:
    await old.upgrade()
    undelivered = MongoDeadLetters(old.client, old.tenants, sink := Sink(), Clock(), "a" * 16)
    assert await undelivered.replay("", "urn:sub:refused", None) == 11
    assert {one.entity["type"][0] for one in sink.told if one.entity} == {DEFAULT_VOCAB + "Room"}
    assert await undelivered.count("", "urn:sub:refused") == 0


async def test_the_old_index_goes_and_the_new_ones_are_there(new: Old) -> None:
    outbox = (await new.tenants.obtain("city")).outbox
    names = [one["name"] async for one in await outbox.list_indexes()]
    assert sorted(names) == ["_id_", "by_1_e_1", "due_1", "e_1"]


async def test_a_crash_after_any_batch_does_no_harm(client: Client, old: Old) -> None:
    whole = await loaded(client)
    await whole.upgrade()
    crashes = 0
    while True:
        try:
            await old.upgraded("", 3, crashes)
        except Crash:
            assert await client[old.prefix]["tasks"].find_one({"_id": "format"}) is None
            crashes += 1
        else:
            break
    assert crashes > 3
    await old.upgrade()
    assert await old.now() == await whole.now()


async def test_each_step_may_be_taken_again(client: Client, old: Old) -> None:
    whole = await loaded(client)
    await whole.upgrade()
    steps = TenantUpgrade(await old.tenants.obtain("city"), lambda *_: None, 3).steps
    for step in steps:
        for earlier in steps[: steps.index(step)]:
            await earlier()
        await step()
    await old.upgrade()
    assert await old.now() == await whole.now()
    await old.upgrade()
    assert await old.now() == await whole.now()


async def test_several_upgrades_at_once_do_no_harm(client: Client, old: Old) -> None:
    whole = await loaded(client)
    await whole.upgrade()
    without_lease = [old.upgraded(tenant, 2, 1000) for tenant in TENANTS for _ in range(2)]
    async with asyncio.timeout(60):
        await asyncio.gather(old.upgrade(), old.upgrade(), *without_lease)
    assert await old.now() == await whole.now()


async def test_a_newer_format_is_refused_and_nothing_is_touched(old: Old) -> None:
    await old.client[old.prefix]["tasks"].insert_one({"_id": "format", "n": 3})
    before = await old.now()
    for refusing in (old.upgrade(), require_current(old.client, old.prefix)):
        with pytest.raises(UpgradeError, match=r"a newer version of Eridanus wrote .*format 3"):
            await refusing
    assert await old.now() == before


async def test_processes_of_the_version_before_have_to_end_first(old: Old) -> None:
    processes = old.client[old.prefix]["processes"]
    await processes.update_many({}, {"$set": {"until": 2.0**32}})
    before = await old.now()
    with pytest.raises(UpgradeError, match="1 processes of an older version"):
        await old.upgrade()
    assert await old.now() == before
    await processes.update_many({}, {"$set": {"until": 0.0}})
    await old.upgrade()
    await require_current(old.client, old.prefix)


async def test_who_only_reads_does_not_upgrade(old: Old) -> None:
    before = await old.now()
    with pytest.raises(UpgradeError, match="start the broker, which upgrades it"):
        await require_current(old.client, old.prefix)
    assert await old.now() == before


async def test_a_fresh_database_has_the_newest_format(client: Client) -> None:
    prefix = f"u{secrets.token_hex(4)}"
    await require_current(client, prefix)
    await asyncio.gather(*(upgrade(client, prefix) for _ in range(3)))
    assert await client[prefix]["tasks"].find_one({"_id": "format"}) == {"_id": "format", "n": FORMAT}
    assert await client[prefix].list_collection_names() == ["tasks"]
    await Tenants(client, prefix).obtain("")
    before = await client[prefix]["entities"].find().to_list()
    await upgrade(client, prefix)
    assert await client[prefix]["entities"].find().to_list() == before
