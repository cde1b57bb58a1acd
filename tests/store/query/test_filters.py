"""The two readers of queries select the same entities: MongoDB by `to_filter`, Python by `match`.

Thousands of random queries meet random entities in a real server. What they rarely meet, every form of
a date against every other and patterns in two engines, is tried in full.
"""

from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from broker.core import Entity
from broker.core.jsonld.core_context import DEFAULT_VOCAB
from broker.core.lang import q, types
from broker.core.lang.operators import ORDERING
from broker.core.lang.terms import Literal, Range, RegExp, Target, Term
from broker.core.query import Query
from broker.store.query.filters import to_filter
from broker.store.wire import codec
from tests.core.lang import some
from tests.core.lang.selecting import selects
from tests.core.lang.test_pattern import SAME, TEXTS

pytestmark = [pytest.mark.clause("4.9"), pytest.mark.clause("5.7.2.4")]

Stored = Collection[dict[str, Any]]
NAME = some.NAMES[0]


@pytest.fixture(scope="module")
def stored(mongo_uri: str) -> Iterator[Stored]:
    # Without a stream of heartbeats: the driver leaks the socket of one that is cut off while it begins.
    with MongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        yield client["filters"]["entities"]


@settings(max_examples=6)
@given(st.integers(0, 2**32))
def test_both_readers_of_q_select_the_same(stored: Stored, seed: int) -> None:
    r = Random(seed)
    entities = _store(stored, [some.entity(r, number) for number in range(120)])
    for _ in range(250):
        _select_the_same(stored, entities, Query(q=some.query(r, depth=r.choice((0, 0, 0, 2)))))


@settings(max_examples=2)
@given(st.integers(0, 2**32))
def test_both_readers_of_whole_queries_select_the_same(stored: Stored, seed: int) -> None:
    r = Random(seed)
    entities = _store(stored, [some.entity(r, number) for number in range(120)])
    for _ in range(150):
        _select_the_same(stored, entities, some.full_query(r))


def test_both_readers_compare_every_moment_the_same(stored: Stored) -> None:
    seconds = [second + fraction for second, fraction in product(("00", "01"), some.FRACTIONS)]
    moments = [f"2026-07-01T12:00:{second}" for second in seconds]
    written = [text.replace(".", sign) + "Z" for text in moments for sign in ".,"]
    texts: list[Any] = [*written, *some.LOOKALIKES]
    values = [*texts, *({"@type": "DateTime", "@value": text} for text in texts)]
    entities = _store(stored, [_with_value(value, n) for n, value in enumerate(values)])
    for operator, moment in product(("==", "!=", *ORDERING), moments):
        for wanted in (Literal("dateTime", moment), Literal("text", moment + "Z")):
            _select_the_same(stored, entities, Query(q=Term(Target((NAME,)), operator, wanted)))


@pytest.mark.parametrize("sign", ["==", "!=", *sorted(ORDERING)])
def test_a_quoted_moment_finds_typed_values_as_an_unquoted_one_does(stored: Stored, sign: str) -> None:
    texts = (f"2026-07-01T12:00:0{second}{part}Z" for second in "01" for part in some.FRACTIONS)
    values = [{"@type": "DateTime", "@value": text} for text in texts]
    _store(stored, [_with_value(value, n) for n, value in enumerate(values)])
    bare, quoted = (
        Query(q=q.parse(f"<{NAME}>{sign}{text}", str))
        for text in ("2026-07-01T12:00:00.5Z", '"2026-07-01T12:00:00.5Z"')
    )
    assert _found(stored, bare) == _found(stored, quoted)
    assert 0 < len(_found(stored, quoted)) < len(values)


def test_both_engines_read_patterns_the_same(stored: Stored) -> None:
    entities = _store(stored, [_with_value(text, number) for number, text in enumerate(TEXTS)])
    for operator, text in product(("~=", "!~="), SAME):
        _select_the_same(stored, entities, Query(q=Term(Target((NAME,)), operator, RegExp(text))))


def test_as_much_as_the_parser_allows_is_not_too_much(stored: Stored) -> None:
    entities = _store(stored, [some.entity(Random(1), 1)])
    path = ".".join(f"a{number}" for number in range(10))
    deep = f'{path}!="x"|{path}[m.n.o.p]!=2026-01-01T00:00:00.5Z..2026-01-02T00:00:00.5Z'
    for _ in range(6):
        deep = f"(a|(a0;({deep})))"
    for text in (
        deep,
        "|".join(f'{path}!="{n}"' for n in range(100)),
        "a!=" + ",".join(["12:00:00.123Z"] * 500),
    ):
        _select_the_same(stored, entities, Query(q=q.parse(text, str)))


def test_a_common_query_is_simple_and_served_by_an_index(stored: Stored) -> None:
    _store(stored, [])
    stored.create_index([("attrs.~P.value", 1)])
    query = Query(types.parse("T", _default), q=q.parse("P>3;S", _default))
    found = to_filter(query)
    assert found == {
        "type": _default("T"),
        "attrs.~P": {"$elemMatch": {"value": {"$gt": 3, "$not": {"$type": "array"}}}},
        "attrs.~S": {"$exists": True},
    }
    plan = stored.find(found).explain()["queryPlanner"]["winningPlan"]
    stored.drop_indexes()
    assert "'indexName': 'attrs.~P.value_1'" in str(plan)
    assert "(3.0, inf.0]" in str(plan) or "(3, inf.0]" in str(plan)


def test_a_range_of_texts_and_one_of_numbers_do_not_mix(stored: Stored) -> None:
    entities = _store(
        stored, [_with_value(value, n) for n, value in enumerate((1, "b", ["b"], True, {"a": 1}))]
    )
    one_to_two = Range(Literal("number", 1), Literal("number", 2))
    _select_the_same(stored, entities, Query(q=Term(Target((NAME,)), "==", one_to_two)))
    assert _found(stored, Query(q=Term(Target((NAME,)), "==", one_to_two))) == {"urn:e:0"}


def _default(name: str) -> str:
    return DEFAULT_VOCAB + name


def _with_value(value: Any, number: int) -> Entity:
    return {**some.entity(Random(1), number), "attrs": {NAME: [{"type": "Property", "value": value}]}}


def _store(stored: Stored, entities: list[Entity]) -> list[Entity]:
    stored.delete_many({})
    documents = [{**codec.encode_entity(one), **codec.encode_places(one["attrs"])} for one in entities]
    stored.insert_many([*documents, {"_id": "epoch", "n": 1}])
    return entities


def _found(stored: Stored, query: Query) -> set[str]:
    return {one["_id"] for one in stored.find(to_filter(query), {"_id": 1})}


def _select_the_same(stored: Stored, entities: list[Entity], query: Query) -> None:
    found = _found(stored, query)
    for entity in entities:
        is_found = entity["id"] in found
        if selects(query, entity) is not is_found:
            pytest.fail(f"found by MongoDB: {is_found}; {query.q or query} on {entity}")
    assert found <= {entity["id"] for entity in entities}  # nothing that is no entity
