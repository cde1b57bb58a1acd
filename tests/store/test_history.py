"""The history in a real MongoDB: random ones, read through random windows, beside a plain model."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from broker.core import Entity, Instance, Json, instant
from broker.core.change import Change, tombstone
from broker.core.errors import NonexistentTenant, TooComplexQuery
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.temporal import SCOPE, Evolution, TemporalQuery, Window
from broker.store import codec, history, windows
from broker.store.history_reads import MongoTemporal
from broker.store.tenants import Tenant, Tenants

BASE = instant.micros("2026-07-01T12:00:00")
NAMES = (DEFAULT_VOCAB + "speed", "https://ex.org/fuel.level", NGSI_LD + "name", SCOPE)
PAGE = 4
_numbers = count(1)


@dataclass(slots=True)
class Written:
    """One instance as the model keeps it; times in microseconds."""

    entity: str
    name: str
    instance: Instance
    stamp: int
    value: Json = None

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
    """All that was ever written, and the clauses read plainly."""

    type: str
    entities: dict[str, list[str]] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)

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
    return many if query.last_n is None else many[::-1][: query.last_n]


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

    async def write(self, model: Model) -> None:
        """Puts a model into the database, by the code that records every write."""
        documents: list[dict[str, Any]] = []
        for one in model.written:
            documents += _records(one)
        if documents:
            await self.tenant.history.insert_many(documents)
        await self.tenant.evolutions.insert_many([_catalogued(model, entity) for entity in model.entities])


def _records(one: Written) -> list[dict[str, Any]]:
    now = instant.of_micros(one.stamp)
    if one.name != SCOPE:
        entity: Entity = {"id": one.entity, "attrs": {}}
        return history.records(
            Change(one.entity, entity, entity, now), one.stamp, [(one.name, one.instance)], []
        )
    old, new = ["/old"], one.instance["value"] or None
    before, after = (Entity(id=one.entity, attrs={}, scope=scope) for scope in (old, new))
    return history.records(Change(one.entity, before, after, now), one.stamp, [], [])


def _catalogued(model: Model, entity: str) -> dict[str, Any]:
    names = model.entities[entity]
    found: dict[str, Any] = {"_id": entity, "type": [model.type], "createdAt": "2026-07-01T12:00:00"}
    found["attrs"] = [codec.key(name) for name in names if name != SCOPE]
    return {**found, "scope": ["/A"]} if SCOPE in names else found


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    # Without a stream of heartbeats: the driver leaks the socket of one that is cut off while it begins.
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        tenants = Tenants(client, "history")
        yield Store(await tenants.obtain(""), MongoTemporal(tenants, page=PAGE, timeout=30))


def some_model(r: Random) -> Model:
    """A few entities with attributes that were written at random times, each at a time of its own."""
    number = next(_numbers)
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


def _values(evolution: Evolution) -> dict[str, list[Json]]:
    members = ("value", "object", "languageMap")
    return {
        name: [next(one[member] for member in members if member in one) for one in many]
        for name, many in evolution.attrs.items()
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.3.4")
async def test_an_evolution_is_what_the_model_says(store: Store, seed: int) -> None:
    r = Random(seed)
    model = some_model(r)
    await store.write(model)
    for _ in range(20):
        entity, query = r.choice(list(model.entities)), some_query(r, model)
        found = await store.temporal.evolution("", entity, query)
        assert found is not None
        assert _values(found) == model.answer(entity, query, PAGE)
        whole = model.answer(entity, query, 1000)
        assert found.truncated == {name for name, many in whole.items() if len(many) > PAGE}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.4.4")
async def test_a_query_finds_the_entities_that_the_model_does(store: Store, seed: int) -> None:
    r = Random(seed)
    model = some_model(r)
    await store.write(model)
    for _ in range(10):
        query = some_query(r, model)
        matching = model.matching(query)
        assert await store.temporal.count("", query) == len(matching)
        assert [one.id for one in await store.temporal.evolutions("", _page(query, 0, 100))] == matching
        offset, limit = r.randint(0, 4), r.randint(1, 3)
        page = await store.temporal.evolutions("", _page(query, offset, limit))
        assert [one.id for one in page] == matching[offset : offset + limit]
        for one in page:
            assert _values(one) == model.answer(one.id, query, PAGE)


def _page(query: TemporalQuery, offset: int, limit: int) -> TemporalQuery:
    entities = Query(query.entities.types, attrs=query.entities.attrs, limit=limit, offset=offset)
    return TemporalQuery(entities, query.window, query.last_n, query.sys_attrs)


async def series(store: Store, instances: int, *, entities: int = 1, attrs: int = 1) -> Model:
    """Entities with attributes that were observed once a second, and written as much later as it took."""
    number = next(_numbers)
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


@pytest.mark.parametrize(
    ("window", "last_n", "first"),
    [
        (None, None, 0),
        (None, 4, 1999),
        (Window("after", at(1500)), None, 1500),
        (Window("before", at(500)), 4, 499),
        (Window("between", at(500), at(600)), 4, 599),
        (Window("after", at(1990), timeproperty="deletedAt"), None, None),
    ],
)
async def test_a_window_reads_nothing_but_its_own_keys(
    store: Store, window: Window | None, last_n: int | None, first: int | None
) -> None:
    model = await series(store, 2000, attrs=2)
    query = TemporalQuery(Query(), window, last_n)
    [entity] = model.entities
    many = [(entity, codec.key(name)) for name in model.entities[entity]]
    pipeline = windows.read(windows.selection(query), many, 4)
    rows = await (await store.tenant.history.aggregate(pipeline)).to_list()
    assert [row["i"]["value"] for row in rows][:1] == ([] if first is None else [first])
    # The keys at either end may be looked at to find the end; deletions are sought among ten instances.
    assert await _examined(store, pipeline) <= 2 * ((10 if first is None else 4) + 2)


async def test_a_probe_reads_one_instance_of_a_long_history(store: Store) -> None:
    model = await series(store, 1000, entities=3, attrs=2)
    query = TemporalQuery(Query(), Window("after", at(700)))
    many = [[(entity, codec.key(name)) for name in names] for entity, names in model.entities.items()]
    pipeline = windows.probe(windows.selection(query), many)
    rows = await (await store.tenant.history.aggregate(pipeline)).to_list()
    assert [row["_id"] for row in rows] == list(model.entities)
    assert await _examined(store, pipeline) <= 2 * len(many)


async def _examined(store: Store, pipeline: list[dict[str, Any]]) -> int:
    command = {"aggregate": "history", "pipeline": pipeline, "cursor": {}}
    plan = await store.tenant.history.database.command("explain", command, verbosity="executionStats")
    assert '"COLLSCAN"' not in str(plan).replace("'", '"')
    return sum(_all(plan, "totalDocsExamined"))


def _all(document: Any, key: str) -> Iterator[int]:
    if isinstance(document, dict):
        for name, value in document.items():
            yield from [value] if name == key else _all(value, key)
    elif isinstance(document, list):
        for one in document:
            yield from _all(one, key)


async def test_instances_tell_when_they_were_written_and_by_which_id_they_are_known(store: Store) -> None:
    model = await series(store, 2)
    [entity] = model.entities
    for sys_attrs in (False, True):
        query = TemporalQuery(Query(), None, None, sys_attrs)
        found = await store.temporal.evolution("", entity, query)
        assert found is not None
        [many] = found.attrs.values()
        times = {
            "createdAt": instant.of_micros(BASE + 300_000),
            "modifiedAt": instant.of_micros(BASE + 300_000),
        }
        assert (times.items() <= many[0].items()) == sys_attrs
        assert many[0]["instanceId"] == history.instance_id(BASE, (BASE + 300_000) * history.PLACES)
        assert many[0]["instanceId"] != many[1]["instanceId"]


async def test_an_entity_tells_when_it_was_modified_while_it_is_there(store: Store) -> None:
    model = await series(store, 1, entities=2)
    here, gone = model.entities
    await store.tenant.entities.insert_one({"_id": here, "type": [model.type], "modifiedAt": at(9)})
    await store.tenant.evolutions.update_one({"_id": gone}, {"$set": {"deletedAt": at(7)}})
    query = TemporalQuery(Query(TypeSelection(((model.type,),))), sys_attrs=True)
    found = await store.temporal.evolutions("", query)
    assert [(one.modified_at, one.deleted_at) for one in found] == [(at(9), None), (None, at(7))]


async def test_unknown_entities_and_tenants_have_no_history(store: Store) -> None:
    assert await store.temporal.evolution("", "urn:x:nobody", TemporalQuery(Query())) is None
    with pytest.raises(NonexistentTenant):
        await store.temporal.evolution("nobody", "urn:x:nobody", TemporalQuery(Query()))


async def test_entities_are_selected_by_id_and_pattern(store: Store) -> None:
    model = await series(store, 1, entities=4)
    first, _, third, _ = model.entities
    for query in (Query(ids=(third, first)), Query(id_pattern=f"^({first}|{third})$")):
        found = await store.temporal.evolutions("", TemporalQuery(query))
        assert [one.id for one in found] == [first, third]


async def test_an_answer_is_bounded_however_many_attributes_it_has(store: Store) -> None:
    model = await series(store, 5, entities=4, attrs=10)
    query = TemporalQuery(Query(TypeSelection(((model.type,),))))
    found = await store.temporal.evolutions("", query)
    assert [len(many) for one in found for many in one.attrs.values()] == [2] * 40
    assert all(one.truncated == one.attrs.keys() for one in found)


async def test_many_candidates_without_an_instance_are_passed_over(store: Store) -> None:
    number = next(_numbers)
    model = Model(f"https://ex.org/T{number}")
    names = {n: f"urn:x:{number}:{n:03}" for n in range(250)}
    model.entities = {entity: [NAMES[0]] for entity in names.values()}
    for n in (7, 120, 249):
        one = {"type": "Property", "value": n, "observedAt": at(n)}
        model.written.append(Written(names[n], NAMES[0], one, BASE, n))
    await store.write(model)
    query = TemporalQuery(Query(TypeSelection(((model.type,),))), Window("after", at(0)))
    assert await store.temporal.count("", query) == 3
    found = await store.temporal.evolutions("", _page(query, 1, 2))
    assert [one.id for one in found] == [names[120], names[249]]


async def test_a_query_ends_when_its_time_is_over(store: Store, mongo_uri: str) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        hasty = MongoTemporal(Tenants(client, "history"), page=PAGE, timeout=0)
        with pytest.raises(TooComplexQuery):
            await hasty.count("", TemporalQuery(Query()))


def test_instances_of_one_write_are_apart() -> None:
    many: list[Instance] = [{"type": "Property", "value": n, "datasetId": f"urn:d:{n}"} for n in range(3000)]
    change = Change("urn:x:1", None, {"id": "urn:x:1", "attrs": {}}, at(0))
    documents = history.records(change, BASE, [(NAMES[0], one) for one in many], [(NAMES[1], many[0])])
    keys = {tuple(document["_id"].values()) for document in documents}
    assert len(keys) == 3001
    assert documents[-1]["_id"]["s"] // history.PLACES == BASE


@pytest.mark.clause("4.5.6")
def test_scopes_are_recorded_when_they_change() -> None:
    with_scope, without = {"id": "urn:x:1", "attrs": {}, "scope": ["/A"]}, {"id": "urn:x:1", "attrs": {}}
    [set_] = history.records(Change("urn:x:1", without, with_scope, at(3)), BASE, [], [])
    assert set_["i"] == {"type": "Property", "value": ["/A"], "observedAt": at(3)}
    [dropped] = history.records(Change("urn:x:1", with_scope, without, at(4)), BASE, [], [])
    assert dropped["i"] == {"type": "Property", "value": [], "deletedAt": at(4)}
    assert history.records(Change("urn:x:1", with_scope, {**with_scope}, at(5)), BASE, [], []) == []
