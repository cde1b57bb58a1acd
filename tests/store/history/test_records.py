"""The history in a real MongoDB: random ones, read through random windows, beside a plain model."""

from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from broker.clock import Stamp
from broker.core import Instance, Json, instant
from broker.core.change import Change
from broker.core.errors import NonexistentTenant, TooComplexQuery
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery, Window
from broker.store.history import records, windows
from broker.store.history.evolution_store import MongoTemporal
from broker.store.wire import codec
from broker.store.wire.tenants import Tenants
from tests.store.histories import (
    BASE,
    NAMES,
    PAGE,
    Model,
    Store,
    Written,
    at,
    numbers,
    open_store,
    series,
    some_model,
    some_query,
)

NOW = "2030-01-01T00:00:00.000000"  # by when what the tests write has not expired

STAMP = Stamp(BASE, BASE)


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with open_store(mongo_uri, "history", PAGE) as store:
        yield store


def _values(evolution: Evolution) -> dict[str, list[Json]]:
    members = ("value", "object", "languageMap")
    return {
        name: [next(one[member] for member in members if member in one) for one in many]
        for name, many in evolution.attrs.items()
    }


@settings(max_examples=8)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.3.4")
async def test_an_evolution_is_what_the_model_says(store: Store, seed: int) -> None:
    r = Random(seed)
    model = some_model(r)
    await store.write(model, r)
    for _ in range(20):
        entity, query = r.choice(list(model.entities)), some_query(r, model)
        found = await store.temporal.evolution("", entity, query)
        expected = model.answer(entity, query, PAGE)
        if found is None:
            assert query.is_selective
            assert expected == {}
            continue
        assert _values(found) == expected
        whole = model.answer(entity, query, 1000)
        assert found.truncated == {name for name, many in whole.items() if len(many) > PAGE}


@settings(max_examples=8)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.4.4")
async def test_a_query_finds_the_entities_that_the_model_does(store: Store, seed: int) -> None:
    r = Random(seed)
    model = some_model(r)
    await store.write(model, r)
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
    selection = windows.selection(query, NOW)
    many = [((entity, codec.key(name)), selection) for name in model.entities[entity]]
    pipeline = windows.union(one.pieces(series, 4, 4) for series, one in many)
    rows = await (await store.tenant.history.aggregate(pipeline)).to_list()
    assert [row["i"]["value"] for row in rows][:1] == ([] if first is None else [first])
    # The keys at either end may be looked at to find the end; deletions are sought among ten instances.
    assert await _examined(store, pipeline) <= 2 * ((10 if first is None else 4) + 2)


async def test_a_probe_reads_one_instance_of_a_long_history(store: Store) -> None:
    model = await series(store, 1000, entities=3, attrs=2)
    query = TemporalQuery(Query(), Window("after", at(700)))
    selection = windows.selection(query, NOW)
    many = [
        [((entity, codec.key(name)), selection) for name in names] for entity, names in model.entities.items()
    ]
    pipeline = windows.probe(many)
    rows = await (await store.tenant.history.aggregate(pipeline)).to_list()
    assert [row["_id"] for row in rows] == [0, 1, 2]
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
        assert many[0]["instanceId"] == records.instance_id(BASE, model.written[0].rev * records.PLACES)
        assert many[0]["instanceId"] != many[1]["instanceId"]


async def test_an_entity_tells_when_it_was_modified_while_it_is_there(store: Store) -> None:
    model = await series(store, 1, entities=2)
    here, gone = model.entities
    entities = store.tenant.entities
    await entities.update_one({"_id": here}, {"$set": {"type": [model.type], "modifiedAt": at(9)}})
    await entities.update_one({"_id": gone}, {"$set": {"past.deletedAt": at(7)}})
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
    number = next(numbers)
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
    documents = records.records(change, STAMP, [(NAMES[0], one) for one in many], [(NAMES[1], many[0])])
    keys = {tuple(document["_id"].values()) for document in documents}
    assert len(keys) == 3001
    assert documents[-1]["_id"]["s"] // records.PLACES == BASE


@pytest.mark.clause("4.5.6")
def test_scopes_are_recorded_when_they_change() -> None:
    with_scope, without = {"id": "urn:x:1", "attrs": {}, "scope": ["/A"]}, {"id": "urn:x:1", "attrs": {}}
    [set_] = records.records(Change("urn:x:1", without, with_scope, at(3)), STAMP, [], [])
    assert set_["i"] == {"type": "Property", "value": ["/A"], "observedAt": at(3)}
    [dropped] = records.records(Change("urn:x:1", with_scope, without, at(4)), STAMP, [], [])
    assert dropped["i"] == {"type": "Property", "value": [], "deletedAt": at(4)}
    assert records.records(Change("urn:x:1", with_scope, {**with_scope}, at(5)), STAMP, [], []) == []
