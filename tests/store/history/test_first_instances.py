"""The first instances of series: in few buckets at a time, for several who ask at once, and near the end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Json
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery
from broker.store.history import first_instances, windows
from broker.store.history.first_instances import SeriesRequest, first
from broker.store.history.packer import Packer, Packing
from broker.store.history.records import held_item, instance_id
from broker.store.history.windows import Document, Pipeline
from broker.store.wire import codec
from tests.store.histories import NAMES, PAGE, Store, open_store, series, some_model, some_query

NOW = "2030-01-01T00:00:00.000000"


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with open_store(mongo_uri, "firsts", PAGE) as store:
        yield store


async def pack(store: Store, size: int) -> None:
    """Packs what is marked, in buckets of about this size."""
    database = store.tenant.history.database
    await store.tenant.entities.update_many({}, {"$set": {"pk": 1}})
    packer = Packer(database["tasks"], store.tenants, "f" * 16, Packing(0, least=1, size=size, rest=0))
    async with packer.session:
        await packer.pack_tenant("")


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("bounds", [(None, None), (130, None), (None, 170), (25, 175)])
async def test_more_buckets_are_read_where_few_were_too_few(
    store: Store, monkeypatch: pytest.MonkeyPatch, direction: int, bounds: tuple[int | None, int | None]
) -> None:
    monkeypatch.setattr(first_instances, "_FEW", 1)
    model = await series(store, 200)
    await pack(store, 7)
    [(entity, [name])] = model.entities.items()
    pipelines: list[Pipeline] = []

    async def run(pipeline: Pipeline, most: int) -> list[Document]:
        pipelines.append(pipeline)
        rows = await (await store.tenant.history.aggregate(pipeline)).to_list()
        assert len(rows) <= most
        return rows

    low, high = (None if one is None else model.written[one].time for one in bounds)
    base = replace(windows.selection(TemporalQuery(Query()), NOW), direction=direction, packed=True)
    wanted = {(entity, codec.key(name)): SeriesRequest(base.within(low, high), 40)}
    [rows] = (await first(run, wanted)).values()
    expected = [*range(200)[bounds[0] : bounds[1]]][::direction][:40]
    assert [row["i"]["value"] for row in rows] == expected
    assert len(pipelines) > 1


async def test_the_end_of_a_long_history_is_read_alone(store: Store) -> None:
    """Also where the document holds something newer, in whichever way it is read."""
    model = await series(store, 2000)
    [(entity, [name])] = model.entities.items()
    last = await store.tenant.history.find_one_and_delete({"_id.e": entity}, sort=[("_id", -1)])
    assert last is not None
    await store.tenant.entities.update_one({"_id": entity}, {"$set": {"h": [held_item(last)]}})
    base = replace(windows.selection(TemporalQuery(Query(), None, 3), NOW), held=True)
    one = (entity, codec.key(name))
    for pipeline in (base.first(one, 4), base.pieces(one, 4, 4)):
        command = {"aggregate": "history", "pipeline": pipeline, "cursor": {}}
        plan = await store.tenant.history.database.command("explain", command, verbosity="executionStats")
        assert plan["stages"][0]["$cursor"]["executionStats"]["totalDocsExamined"] <= 6
    found = await store.temporal.evolution("", entity, TemporalQuery(Query(attrs=(name,)), None, 3))
    assert found is not None
    assert [each["value"] for each in found.attrs[name]] == [1999, 1998, 1997]
    assert found.attrs[name][0]["instanceId"] == instance_id(last["_id"]["t"], last["_id"]["s"])


@settings(max_examples=6)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.3.4")
async def test_who_ask_at_once_get_what_each_would_get_alone(store: Store, seed: int) -> None:
    r = Random(seed)
    model = some_model(r)
    await store.write(model, r)
    asked = []
    for _ in range(30):
        query = some_query(r, model)
        attrs = query.entities.attrs or (r.choice(NAMES),)
        entities = replace(query.entities, attrs=attrs)
        asked.append((r.choice([*model.entities, "urn:x:nobody"]), replace(query, entities=entities)))
    together = await asyncio.gather(*(store.temporal.evolution("", *one) for one in asked))
    for one, found in zip(asked, together, strict=True):
        assert shown(found) == shown(await store.temporal.evolution("", *one))
        if found is not None:
            assert {name: values for name, (values, _) in shown(found).items()} == model.answer(*one, PAGE)


def shown(found: Evolution | None) -> dict[str, tuple[list[Json], list[Json]]]:
    """The values and the ids of the instances that were found, by attribute."""
    members = ("value", "object", "languageMap")
    return {
        name: (
            [next(one[member] for member in members if member in one) for one in many],
            [one["instanceId"] for one in many],
        )
        for name, many in (found.attrs if found else {}).items()
    }


async def test_of_those_who_ask_at_once_each_fails_alone(store: Store) -> None:
    model = await series(store, 10, entities=3)
    bad, *good = model.entities
    await store.tenant.entities.update_one({"_id": bad}, {"$set": {"past": 7}})
    [name] = model.entities[bad]
    query = TemporalQuery(Query(attrs=(name,)), None, 2)
    asked = (store.temporal.evolution("", one, query) for one in model.entities)
    failed, *found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, TypeError)
    assert [one.id for one in found if isinstance(one, Evolution)] == good
