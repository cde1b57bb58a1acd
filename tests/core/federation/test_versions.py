"""Versions of one entity are merged (clause 4.5.5): the order in which they come never shows."""

from functools import reduce
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Entity
from broker.core.federation.versions import fill, join, merged, version

TIMES = [f"2026-01-01T00:00:0{n}" for n in range(4)]
times = st.sampled_from(TIMES)


def instance(value: int, **members: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, **members}


instances = st.lists(
    st.builds(
        lambda value, members, dataset: instance(
            value, **members, **({"datasetId": dataset} if dataset else {})
        ),
        st.integers(0, 2),
        st.dictionaries(st.sampled_from(("createdAt", "modifiedAt", "observedAt", "expiresAt")), times),
        st.sampled_from((None, "urn:d:1")),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda made: made.get("datasetId"),
)
entities = st.builds(
    lambda types, scope, members, attrs: version(
        {"id": "urn:x:1", "type": types, **({"scope": scope} if scope else {}), **members, "attrs": attrs}
    ),
    st.lists(st.sampled_from("AB"), min_size=1, unique=True),
    st.lists(st.sampled_from(("/a", "/b")), unique=True),
    st.dictionaries(st.sampled_from(("createdAt", "modifiedAt", "expiresAt")), times),
    st.dictionaries(st.sampled_from(("a", "b")), instances),
)


def same(first: Entity | None, second: Entity | None) -> bool:
    return first == second


@given(entities, entities)
def test_join_commutes(first: Entity, second: Entity) -> None:
    assert join(first, second) == join(second, first)


@given(entities, entities, entities)
def test_join_associates(first: Entity, second: Entity, third: Entity) -> None:
    assert join(join(first, second), third) == join(first, join(second, third))


@given(entities)
def test_join_is_idempotent(entity: Entity) -> None:
    assert join(entity, entity) == entity


@given(entities, entities)
def test_fill_is_idempotent_and_only_adds(entity: Entity, auxiliary: Entity) -> None:
    filled = fill(entity, auxiliary)
    assert fill(filled, auxiliary) == filled
    assert all(filled["attrs"][iri] is entity["attrs"][iri] for iri in entity["attrs"])
    assert {**filled, "attrs": None} == {**entity, "attrs": None}


@given(st.lists(entities, max_size=3), st.lists(entities, max_size=2))
def test_the_order_of_answers_never_shows(versions: list[Entity], auxiliary: list[Entity]) -> None:
    expected = merged(versions, auxiliary)
    for order in permutations(versions):
        assert same(merged(order, reversed(auxiliary)), expected)


def entity(**attrs: Any) -> Entity:
    return version({"id": "urn:x:1", "type": ["A"], "createdAt": TIMES[0], "attrs": attrs})


@pytest.mark.clause("4.5.5")
@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"observedAt": TIMES[1]}, {"observedAt": TIMES[2]}, 2),
        (
            {"observedAt": TIMES[3], "modifiedAt": TIMES[1]},
            {"observedAt": TIMES[2], "modifiedAt": TIMES[2]},
            1,
        ),
        ({"modifiedAt": TIMES[1]}, {"modifiedAt": TIMES[2]}, 2),
        ({"createdAt": TIMES[2]}, {"modifiedAt": TIMES[1]}, 1),
        ({"observedAt": TIMES[1]}, {"modifiedAt": TIMES[2]}, 2),
        ({}, {"observedAt": TIMES[1]}, 2),
    ],
)
def test_the_more_recent_instance_counts(first: dict[str, str], second: dict[str, str], winner: int) -> None:
    one, two = entity(a=[instance(1, **first)]), entity(a=[instance(2, **second)])
    found = merged([one, two])
    assert found is not None
    assert [kept["value"] for kept in found["attrs"]["a"]] == [winner]


def test_instances_inherit_no_time_of_another_version() -> None:
    """Here an instance without createdAt is as old as its entity; elsewhere that would be another time."""
    old = version({"id": "urn:x:1", "type": ["A"], "createdAt": TIMES[0], "attrs": {"a": [instance(1)]}})
    new = version({"id": "urn:x:1", "type": ["A"], "createdAt": TIMES[3], "attrs": {"a": [instance(2)]}})
    found = merged([old, new])
    assert found is not None
    assert found["createdAt"] == TIMES[0]
    assert found["attrs"]["a"][0]["createdAt"] == TIMES[3]


def test_the_expiry_of_an_entity_is_that_of_what_it_brings() -> None:
    expiring = {
        "expiresAt": TIMES[2],
        **entity(a=[instance(1), instance(2, datasetId="urn:d:1", expiresAt=TIMES[1])]),
    }
    found = merged([version(expiring), entity(b=[instance(3)])])
    assert found is not None
    assert "expiresAt" not in found  # the other version never expires
    assert [kept.get("expiresAt") for kept in found["attrs"]["a"]] == [TIMES[2], TIMES[1]]
    assert "expiresAt" not in found["attrs"]["b"][0]


def test_auxiliary_sources_fill_gaps_only() -> None:
    known = entity(a=[instance(1)])
    gaps = entity(a=[instance(2, observedAt=TIMES[3])], b=[instance(3)])
    found = merged([known], [gaps])
    assert found is not None
    assert [found["attrs"][name][0]["value"] for name in ("a", "b")] == [1, 3]
    assert merged([], [gaps]) == gaps
    assert merged([]) is None
    assert reduce(join, [gaps]) is gaps
