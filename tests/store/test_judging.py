"""Queries on the instances in a window, in a real MongoDB, beside the clause read plainly (5.7.4.4)."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from broker.core import Entity, Instance, instant
from broker.core.lang import q
from broker.core.lang.match import matches
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery, Window
from broker.store.history_reads import MongoTemporal
from broker.store.tenants import Tenants
from tests.store.histories import BASE, Model, Store, Written, at, numbers

NAMES = ("https://ex.org/a", "https://ex.org/b.c", "https://ex.org/d")
TERMS = (
    "a>3", "a>1;a<4", "a==2|b>3", "!a;b>1", "!d", "d", "a!=2", "a==1..3", "a==1,4", '(a>3|b<2);d~="x"',
    "a.unit", 'a.unitCode=="M"', "b.observedAt>={now}", "a.modifiedAt>={now};b", "!a.createdAt|d",
    'a.datasetId=="urn:d:1"', "(!b|a>2);(d|a<4)", "a.createdAt<{now}|!d", "createdAt>{now}",
)  # fmt: skip


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        tenants = Tenants(client, "judging")
        yield Store(await tenants.obtain(""), MongoTemporal(tenants, page=100, timeout=30), tenants)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.4.4")
async def test_a_query_is_judged_on_the_instances_in_the_window(store: Store, seed: int) -> None:
    r = Random(seed)
    model = _some_history(r)
    await store.write(model, r)
    for _ in range(8):
        query = _some_query(r, model)
        found = await store.temporal.evolutions("", query)
        assert [_told(one) for one in found] == _expected(model, query)
        assert await store.temporal.count("", query) == len(found)


def _some_history(r: Random) -> Model:
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}")
    for n in range(r.randint(1, 5)):
        entity = f"urn:x:{number}:{n}"
        model.entities[entity] = r.sample(NAMES, r.randint(1, 3))
        for name in model.entities[entity]:
            for stamp in r.sample(range(60), r.randint(0, 6)):
                one = _some_instance(r, name)
                model.written.append(Written(entity, name, one, BASE + stamp * 1_000_000, one["value"]))
    return model


def _some_instance(r: Random, name: str) -> Instance:
    value: Any = r.choice("xyz") if name == NAMES[2] else r.randint(0, 5)
    one: Instance = {"type": "Property", "value": value, "observedAt": at(r.randint(0, 59))}
    if r.random() < 0.2:
        one["datasetId"] = "urn:d:1"
    if r.random() < 0.2:
        one["unitCode"] = r.choice("MK")
    if r.random() < 0.2:
        one["attrs"] = {"https://ex.org/unit": [{"type": "Property", "value": 1}]}
    return one


def _some_query(r: Random, model: Model) -> TemporalQuery:
    text = r.choice(TERMS).replace("{now}", at(r.randint(0, 59)) + "Z")
    names = {"a": NAMES[0], "b": NAMES[1], "d": NAMES[2], "unit": "https://ex.org/unit"}
    attrs = tuple(r.sample(NAMES, 2)) if r.random() < 0.3 else ()
    entities = Query(
        TypeSelection(((model.type,),)), attrs=attrs, q=q.parse(text, lambda name: names.get(name, name))
    )
    name = r.choice(("observedAt", "observedAt", "createdAt"))
    return TemporalQuery(entities, Window("between", at(r.randint(0, 30)), at(r.randint(31, 60)), name))


def _expected(model: Model, query: TemporalQuery) -> list[tuple[str, dict[str, list[Any]]]]:
    found = []
    condition, window = query.entities.q, query.window
    assert condition is not None
    assert window is not None
    low, high = window.bounds
    for entity in sorted(model.entities):
        there: dict[str, list[Written]] = {}
        for one in sorted(model.written, key=lambda one: (one.of(window.timeproperty), one.stamp)):
            time = one.of(window.timeproperty)
            if one.entity == entity and time is not None and (low or 0) <= time < (high or 0):
                there.setdefault(one.name, []).append(one)
        if not matches(condition, _entity(there)):
            continue
        kept = {
            name: [one.value for one in there[name]]
            for name in query.entities.attrs or NAMES
            if name in there
        }
        if kept:
            found.append((entity, kept))
    return found


def _entity(there: dict[str, list[Written]]) -> Entity:
    attrs = {name: [_stamped(one) for one in many] for name, many in there.items()}
    return {"id": "", "type": [], "createdAt": "2026-07-01T12:00:00", "modifiedAt": "", "attrs": attrs}


def _stamped(one: Written) -> Instance:
    time = instant.of_micros(one.stamp)
    return {**one.instance, "createdAt": time, "modifiedAt": time}


def _told(found: Evolution) -> tuple[str, dict[str, list[Any]]]:
    return found.id, {name: [one["value"] for one in many] for name, many in found.attrs.items()}
