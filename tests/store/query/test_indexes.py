"""Declared indexes: made in every tenant by whoever comes first, and used by the filters of queries."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from prometheus_client import REGISTRY

from broker.core.jsonld.core_context import DEFAULT_VOCAB
from broker.core.lang import q, types
from broker.core.query import Query
from broker.store.query.advice import Advice
from broker.store.query.filters import to_filter
from broker.store.query.indexes import Declared, Indexes
from broker.store.wire import codec
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants

HEAT, PARK = DEFAULT_VOCAB + "heat", DEFAULT_VOCAB + "park"


@pytest.fixture
async def tenants(mongo_uri: str) -> AsyncIterator[Tenants]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        yield Tenants(client, f"i{secrets.token_hex(4)}")


def _default(name: str) -> str:
    return DEFAULT_VOCAB + name


def query(text: str, of: str | None = "T0") -> Query:
    return Query(types.parse(of, _default) if of else None, q=q.parse(text, _default))


async def names(tenants: Tenants, tenant: str) -> set[str]:
    """The declared indexes that there are."""
    found = await (await tenants.obtain(tenant)).entities.index_information()
    return {name for name in found if name.startswith("declared")}


async def test_they_are_made_in_every_tenant_and_dropped_when_declared_no_more(tenants: Tenants) -> None:
    await tenants.obtain("t")
    declared = [Declared(HEAT), Declared(PARK, _default("T")), Declared("https://ex.org/a.b$c")]
    await asyncio.gather(*(Indexes(tenants, declared).make(one) for one in ("", "t") for _ in range(3)))
    for tenant in ("", "t"):
        assert await names(tenants, tenant) == {one.name for one in declared}
    indexes = Indexes(tenants, declared[:1])
    for tenant in ("", "t", "later"):
        await tenants.obtain(tenant)
        await indexes.make(tenant)
        assert await names(tenants, tenant) == {declared[0].name}


@pytest.mark.parametrize("declared", [Declared(HEAT), Declared(HEAT, _default("T0"))])
async def test_filters_of_all_kinds_use_them(tenants: Tenants, declared: Declared) -> None:
    entities = (await tenants.obtain("")).entities
    await entities.insert_many(_entity(n) for n in range(2000))
    texts = ("heat>1990", "heat==9", "heat==9,12", "heat==9..12", 'heat=="text 7"', 'heat=="urn:r:8"')
    before = [await _found(entities, query(text)) for text in texts]
    assert all(before)
    await Indexes(tenants, [declared]).make("")
    assert [await _found(entities, query(text)) for text in texts] == before
    for text, many in zip(texts, before, strict=True):
        plan = await entities.find(to_filter(query(text))).sort("_id", 1).limit(21).explain()
        assert declared.name in str(plan["queryPlanner"]["winningPlan"]), text
        assert plan["executionStats"]["totalDocsExamined"] < 20 + 2 * len(many), text


def _entity(n: int) -> dict[str, Any]:
    kinds = (
        {"type": "Property", "value": n},
        {"type": "Property", "value": f"text {n}"},
        {"type": "Relationship", "object": f"urn:r:{n}"},
    )
    heat = [kinds[n % 3], {"type": "Property", "value": -n, "datasetId": "urn:d"}]
    other = [{"type": "Property", "value": n}]
    attrs = {HEAT: heat, PARK: other}
    return codec.encode_entity({"id": f"urn:x:{n:04}", "type": [_default("T0")], "attrs": attrs})


async def _found(entities: Any, wanted: Query) -> list[str]:
    return sorted([one["_id"] async for one in entities.find(to_filter(wanted), {"_id": 1})])


def _counted(shape: str) -> float:
    return REGISTRY.get_sample_value("eridanus_slow_filters_total", {"filter": shape}) or 0.0


def test_a_slow_query_says_once_which_index_would_help(caplog: pytest.LogCaptureFixture) -> None:
    advice = Advice([Declared(PARK)], 0.1, lambda iri: iri.removeprefix(DEFAULT_VOCAB))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            advice.note(query("heat>5;wind"), 0.2)
        advice.note(query("heat==5|wind<2", None), 0.2)
        advice.note(query("heat>5"), 0.05)
        advice.note(query("park==5;calm>5"), 9.0)
        advice.note(query('calm!=5;calm~="x"'), 9.0)
        advice.note(Query(types.parse("T0", _default)), 9.0)
    added = [vars(record)["add"] for record in caplog.records]
    assert added == ["heat@T0", "heat", "wind"]
    assert (_counted("heat@T0"), _counted("wind"), _counted("calm@T0")) == (3, 1, 0)


def test_what_it_counts_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    advice = Advice([], 0.1, str)
    for number in range(80):
        advice.note(query(f"many{number}==1"), 1.0)
    assert _counted("other") == 30
    assert len(caplog.records) == 50
