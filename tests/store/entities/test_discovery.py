"""Shapes: what entities are alike in, kept with them through every change."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Entity
from broker.core.discovery import Shape
from broker.store.entities.discovery import _SHAPES, MongoDiscovery
from broker.store.entities.sweeper import Sweeper
from broker.store.wire import codec
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants
from broker.store.writes.plan import Draft
from broker.store.writes.statements import Statement, statement
from broker.store.writes.stored import Stored
from tests.core.lang import some

NAMES = (
    "urn:a.b$",
    "https://uri.etsi.org/ngsi-ld/location",
    "https://uri.etsi.org/ngsi-ld/default-context/x",
)
KINDS = ({"type": "Property", "value": 1}, {"type": "Relationship", "object": "urn:x:1"})


def _random(r: Random, number: int) -> Entity:
    attrs = {name: r.choices(KINDS, k=r.choice((1, 1, 2))) for name in r.sample(NAMES, r.randint(0, 3))}
    types = r.sample(["urn:T", "urn:U"], r.choice((1, 2)))
    return {"id": f"urn:x:{number}", "type": types, "createdAt": "x", "modifiedAt": "x", "attrs": attrs}


def _alike(entity: Entity) -> tuple[Any, ...]:
    """What makes a shape, said another way."""
    attrs = {iri: tuple(sorted(one["type"] for one in its)) for iri, its in entity["attrs"].items()}
    return tuple(sorted(entity["type"])), tuple(sorted(attrs.items()))


def _update(before: Entity, after: Entity) -> Statement:
    """The statement of a write that leaves the entity so."""
    draft = Draft(after["id"], Stored(before, 1), after, 2, has_past=False, is_listed=False)
    return statement(draft)


@given(st.integers(0, 2**32))
def test_a_change_of_the_shape_is_stored_and_no_other(seed: int) -> None:
    r = Random(seed)
    before, after = _random(r, 1), _random(r, 1)
    if r.random() < 0.7:  # as rules do: share what stays
        kept = {iri: its for iri, its in before["attrs"].items() if r.random() < 0.7}
        after = {
            **before,
            "attrs": {**kept, **{iri: after["attrs"][iri] for iri in list(after["attrs"])[:1]}},
        }
    changed = _update(before, after).set
    assert changed.get("shape", codec.shape(before)) == codec.shape(after)
    assert (codec.shape(before) == codec.shape(after)) == (_alike(before) == _alike(after))
    same = {**before, "attrs": dict(before["attrs"]), "modifiedAt": "y"}
    made = _update(before, same)
    assert (made.set, made.unset) == ({"modifiedAt": "y", "rev": 2}, {})


def test_nested_attributes_and_values_make_no_shape() -> None:
    entity = some.entity(Random(3), 1)
    bare = {
        iri: [{"type": one["type"], "value": None} for one in its] for iri, its in entity["attrs"].items()
    }
    assert codec.shape(entity) == codec.shape({**entity, "attrs": bare})


@pytest.fixture
async def tenants(mongo_uri: str) -> AsyncIterator[Tenants]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        yield Tenants(client, f"d{secrets.token_hex(4)}")


async def test_shapes_are_those_of_the_entities_and_so_are_their_counts(tenants: Tenants) -> None:
    handle = await tenants.obtain("")
    r = Random(5)
    entities = [_random(r, number) for number in range(500)]
    documents = [{**codec.encode_entity(one), "rev": 1, "shape": codec.shape(one)} for one in entities]
    await handle.entities.insert_many(documents)
    sweeper: Any = Sweeper(handle.undelivered, tenants, None, "p")  # type: ignore[arg-type]
    store = MongoDiscovery(tenants, sweeper, timeout=5)
    found = await store.shapes("")
    expected = Counter(map(_alike, entities))
    assert {_of(one) for one in found} == expected.keys()
    assert len({one.id for one in found}) == len(found) == len(expected)
    for one in found:
        assert await store.count("", [one.id]) == expected[_of(one)]
    assert await store.count("", [one.id for one in found]) == 500
    assert await store.count("", []) == 0


def _of(shape: Shape) -> tuple[Any, ...]:
    attrs = {iri: tuple(sorted(its)) for iri, its in shape.attrs.items()}
    return tuple(sorted(shape.types)), tuple(sorted(attrs.items()))


async def test_it_reads_an_entity_for_each_shape_and_no_more(tenants: Tenants) -> None:
    handle = await tenants.obtain("")
    one = _random(Random(1), 0)
    documents = [
        {**codec.encode_entity({**one, "id": f"urn:x:{number}"}), "shape": codec.shape(one)}
        for number in range(300)
    ]
    await handle.entities.insert_many(documents)
    command = {"aggregate": "entities", "pipeline": _SHAPES, "cursor": {}}
    plan = await handle.entities.database.command(
        {"explain": command, "verbosity": "executionStats"}, check=True
    )
    assert "DISTINCT_SCAN" in str(plan)
    assert plan["stages"][0]["$cursor"]["executionStats"]["totalDocsExamined"] == 1
