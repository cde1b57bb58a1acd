"""Random histories, and a plain model of what temporal queries find in them: for the tests of the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from pymongo import AsyncMongoClient

from broker.clock import Stamp
from broker.core import Entity, Instance, Json, instant
from broker.core.change import Change, tombstone
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.temporal import SCOPE, TemporalQuery, Window
from broker.store.history import records
from broker.store.history.evolution_store import MongoTemporal
from broker.store.history.packer import Packer, Packing
from broker.store.history.records import held_item
from broker.store.wire import codec
from broker.store.wire.tenants import Tenant, Tenants

BASE = instant.micros("2026-07-01T12:00:00")
NAMES = (DEFAULT_VOCAB + "speed", "https://ex.org/fuel.level", NGSI_LD + "name", SCOPE)
PAGE = 4
numbers = count(1)


@dataclass(slots=True)
class Written:
    """One instance as the model keeps it; times in microseconds."""

    entity: str
    name: str
    instance: Instance
    stamp: int
    value: Json = None

    @property
    def rev(self) -> int:
        """Of some entities, from some time on, those that a clock one hour ahead began."""
        is_ahead = self.entity.endswith(("0", "2", "4", "6", "8")) and self.stamp > BASE + 20_000
        return self.stamp + 3_600_000_000 * is_ahead

    @property
    def time(self) -> int:
        """observedAt, else the time of the write."""
        observed = self.instance.get("observedAt")
        return self.stamp if observed is None else instant.micros(observed)

    def of(self, timeproperty: str) -> int | None:
        """One of its times, None if it does not have that."""
        if timeproperty in ("createdAt", "modifiedAt"):
            return None if "deletedAt" in self.instance else self.stamp
        return None if timeproperty not in self.instance else instant.micros(self.instance[timeproperty])


@dataclass(slots=True)
class Model:
    """All that was ever written, and the clauses read plainly. `created`: when the entities came."""

    type: str
    entities: dict[str, list[str]] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)
    created: str = "2026-07-01T12:00:00"

    def answer(self, entity: str, query: TemporalQuery, most: int) -> dict[str, list[Json]]:
        """The values found, by attribute, in order."""
        found = {}
        for name in query.entities.attrs or NAMES:
            many = [one for one in self.written if (one.entity, one.name) == (entity, name)]
            if many := _fitting(_wanted(many, query), query, most):
                found[name] = [one.value for one in many]
        return found

    def matching(self, query: TemporalQuery) -> list[str]:
        """The entities with an instance in the window."""
        return [entity for entity in sorted(self.entities) if self.answer(entity, query, PAGE)]


def _wanted(many: list[Written], query: TemporalQuery) -> list[Written]:
    window = query.window
    if window is None:
        many = sorted(many, key=lambda one: (one.time, one.stamp))
    else:
        at, end = (None if t is None else instant.micros(t) for t in (window.time_at, window.end_time_at))
        times = [(one.of(window.timeproperty), one.stamp, one) for one in many]
        kept = [x for x in times if x[0] is not None and _holds(window.timerel, x[0], at, end)]
        many = [one for _, _, one in sorted(kept, key=lambda x: x[:2])]
    return many if query.last_n is None else latest(many, query)


def latest(many: list[Written], query: TemporalQuery) -> list[Written]:
    """Those of the last n times, the newest first; those of one time by datasetId, then the newest first."""
    name = query.window.timeproperty if query.window else None
    found: dict[int | None, list[Written]] = {}
    for one in reversed(many):
        found.setdefault(one.of(name) if name else one.time, []).append(one)
    newest = list(found.values())[: query.last_n]
    return [one for group in newest for one in sorted(group, key=lambda one: _dataset(one))]


def _dataset(one: Written) -> str:
    return str(one.instance.get("datasetId", ""))


def _holds(timerel: str | None, time: int, at: int | None, end: int | None) -> bool:
    if timerel is None:
        return True
    assert at is not None
    if timerel == "before":
        return time < at
    return at <= time and (timerel == "after" or end is None or time < end)


def _fitting(many: list[Written], query: TemporalQuery, most: int) -> list[Written]:
    kept = many[:most]
    if len(many) > most and query.last_n is not None:
        name = query.window.timeproperty if query.window else None
        first_out = many[most].of(name) if name else many[most].time
        apart = [one for one in kept if (one.of(name) if name else one.time) != first_out]
        return apart or kept
    return kept


@dataclass(frozen=True, slots=True)
class Store:
    """The collections, and the store over them."""

    tenant: Tenant
    temporal: MongoTemporal
    tenants: Tenants

    async def write(self, model: Model, r: Random | None = None) -> None:
        """Puts a model into the database, by the code that records every write.

        With `r` in any order, and by chance some of it lies in the documents of the entities, and some is
        packed, before others come that may be older.
        """
        documents = [document for one in model.written for document in _records(one)]
        await self.tenant.entities.insert_many([_catalogued(model, entity) for entity in model.entities])
        if r is None:
            await self._insert(documents)
            return
        r.shuffle(documents)
        first, second = sorted(r.randint(0, len(documents)) for _ in range(2))
        for part in (documents[:first], documents[first:second], documents[second:]):
            is_held = [r.random() < 0.3 for _ in part]
            await self._insert([one for one, held in zip(part, is_held, strict=True) if not held])
            await self._hold([one for one, held in zip(part, is_held, strict=True) if held])
            await self._pack_some(model, r)

    async def _insert(self, documents: list[dict[str, Any]]) -> None:
        if documents:
            await self.tenant.history.insert_many(documents)

    async def _hold(self, documents: list[dict[str, Any]]) -> None:
        for one in documents:
            push = {"$push": {"h": held_item(one)}, "$inc": {"rev": 1}}
            await self.tenant.entities.update_one({"_id": one["_id"]["e"]}, push)

    async def _pack_some(self, model: Model, r: Random) -> None:
        packing = Packing(0, least=1, size=r.randint(1, 4))
        tenant, database = self.tenant, self.tenant.history.database
        packer = Packer(database["tasks"], self.tenants, "p" * 16, packing)
        before = r.choice((BASE, BASE + r.randint(0, 60) * 1000, BASE + r.randint(0, 60) * 1_000_000, 2**60))
        async with database.client.start_session() as session:
            for entity, names in model.entities.items():
                for name in names:
                    if r.random() < 0.7:
                        await packer.step(tenant, session, (entity, codec.key(name)), before)


@asynccontextmanager
async def open_store(mongo_uri: str, database: str, page: int) -> AsyncIterator[Store]:
    """A store of its own, with so many instances of an attribute in an answer."""
    # Without a stream of heartbeats: the driver leaks the socket of one that is cut off while it begins.
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        tenants = Tenants(client, database)
        yield Store(await tenants.obtain(""), MongoTemporal(tenants, page=page, timeout=30), tenants)


def _records(one: Written) -> list[dict[str, Any]]:
    now = instant.of_micros(one.stamp)
    stamp = Stamp(one.rev, one.stamp)
    if one.name != SCOPE:
        entity: Entity = {"id": one.entity, "attrs": {}}
        return records.records(Change(one.entity, entity, entity, now), stamp, [(one.name, one.instance)], [])
    old, new = ["/old"], one.instance["value"] or None
    before, after = (Entity(id=one.entity, attrs={}, scope=scope) for scope in (old, new))
    return records.records(Change(one.entity, before, after, now), stamp, [], [])


def _catalogued(model: Model, entity: str) -> dict[str, Any]:
    names = model.entities[entity]
    past: dict[str, Any] = {"type": [model.type], "createdAt": model.created}
    past["attrs"] = [codec.key(name) for name in names if name != SCOPE]
    past |= {"scope": ["/A"]} if SCOPE in names else {}
    return {"_id": entity, "rev": 1, "past": past}


def some_model(r: Random) -> Model:
    """A few entities with attributes that were written at random times, each at a time of its own."""
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}")
    for n in range(r.randint(1, 5)):
        entity = f"urn:x:{number}:{n}"
        model.entities[entity] = r.sample(NAMES, r.randint(0, len(NAMES)))
        for name in model.entities[entity]:
            for stamp in r.sample(range(40), r.randint(0, 12)):
                model.written.append(_some_written(r, entity, name, BASE + stamp * 1000))
    return model


def _some_written(r: Random, entity: str, name: str, stamp: int) -> Written:
    now = instant.of_micros(stamp)
    if name == SCOPE:
        scopes = r.choice(([], ["/A"], ["/B", "/C/D"]))
        return Written(
            entity, name, {"value": scopes, "observedAt" if scopes else "deletedAt": now}, stamp, scopes
        )
    kind, member, value = r.choice(
        [("Property", "value", {"$set": r.random()}), ("Property", "value", r.random()),
         ("Relationship", "object", f"urn:y:{r.random()}"), ("LanguageProperty", "languageMap", {"a.b": "c"})]
    )  # fmt: skip
    one: Instance = {"type": kind, member: value, "createdAt": now, "modifiedAt": now}
    if r.random() < 0.2:
        one["datasetId"] = "urn:d:1"
    if r.random() < 0.1:
        one = tombstone(one, now)
    elif r.random() < 0.8:
        one["observedAt"] = _some_time(r)
    return Written(entity, name, one, stamp, one[member])


def _some_time(r: Random) -> str:
    """Times that often are the same, and before 1970, and not always with all digits."""
    if r.random() < 0.05:
        return "1969-12-31T23:59:59.5"
    return instant.floor(instant.of_micros(BASE + r.randint(0, 40) * 1000))


def some_query(r: Random, model: Model) -> TemporalQuery:
    attrs = tuple(r.sample(NAMES, r.randint(1, 2))) if r.random() < 0.4 else ()
    entities = Query(TypeSelection(((model.type,),)), attrs=attrs)
    last_n = r.choice((None, None, 1, 2, PAGE, PAGE + 1, 10))
    return TemporalQuery(entities, _some_window(r), last_n, sys_attrs=r.random() < 0.3)


def _some_window(r: Random) -> Window | None:
    if r.random() < 0.15:
        return None
    name = r.choice(("observedAt", "observedAt", "createdAt", "modifiedAt", "deletedAt"))
    timerel = r.choice((None, "before", "after", "between", "between"))
    at, end = _some_time(r), _some_time(r)
    return Window(timerel, at if timerel else None, end if timerel == "between" else None, name)


async def series(store: Store, instances: int, *, entities: int = 1, attrs: int = 1) -> Model:
    """Entities with attributes that were observed once a second, and written as much later as it took."""
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}")
    for n in range(entities):
        model.entities[f"urn:x:{number}:{n}"] = names = [f"https://ex.org/a{k}" for k in range(attrs)]
        for name in names:
            for second in range(instances):
                time = BASE + second * 1_000_000
                one = {"type": "Property", "value": second, "observedAt": instant.of_micros(time)}
                written = Written(f"urn:x:{number}:{n}", name, one, time + 300_000, second)
                model.written.append(written)
    await store.write(model)
    return model


def at(second: int) -> str:
    return instant.of_micros(BASE + second * 1_000_000)
