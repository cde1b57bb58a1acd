"""Orders in MongoDB: mixed types, pages by their keys, collations that leave the selection alone."""

import base64
import json
import math
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient
from pymongo.collection import Collection

from broker.core import Entity, Json
from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.jsonld.core_context import DEFAULT_VOCAB
from broker.core.lang import collation, order
from broker.core.lang.order import Ordering
from broker.store.query.collations import _KINDS, _LOCALES, _STRENGTHS, exact, mongo_collation
from broker.store.query.distances import distances
from broker.store.query.filters import to_filter
from broker.store.query.ordering import page_key, stages
from broker.store.wire import codec
from tests.core.documents import json_values
from tests.core.lang import some

pytestmark = pytest.mark.clause("4.23")

Stored = Collection[dict[str, Any]]
ALL = {"type": "T"}

# In the order of 4.23.2, each kind in its own.
VALUES: list[dict[str, Json] | None] = [
    {"type": "Property", "value": -(10**30)},
    {"type": "Property", "value": -3},
    {"type": "Property", "value": 2.5},
    {"type": "Property", "value": 3},
    {"type": "Property", "value": 10**20},
    {"type": "Property", "value": ""},
    {"type": "Property", "value": "10:00"},
    {"type": "Property", "value": "B"},
    {"type": "VocabProperty", "vocab": "a"},
    {"type": "Relationship", "object": "urn:x:1"},
    {"type": "Property", "value": {"a": 1}},
    {"type": "LanguageProperty", "languageMap": {"en": "x"}},
    {"type": "JsonProperty", "json": {"a": [None, 2]}},
    {"type": "Property", "value": [1, 9]},
    {"type": "ListProperty", "valueList": [3, 1]},
    {"type": "Property", "value": False},
    {"type": "Property", "value": True},
    {"type": "Property", "value": "09:59:59.5Z"},
    {"type": "Property", "value": {"@type": "Time", "@value": "10:00:00Z"}},
    {"type": "Property", "value": "10:00:00.01Z"},
    {"type": "Property", "value": "10:00:00,1Z"},
    {"type": "Property", "value": "2026-01-31"},
    {"type": "Property", "value": "2026-02-01"},
    {"type": "Property", "value": "2026-01-01T00:00:00Z"},
    {"type": "Property", "value": "2026-01-01T00:00:00.000001Z"},
    {"type": "Property", "value": {"@type": "DateTime", "@value": "2026-01-01T00:00:00.1Z"}},
    None,
]


@pytest.fixture(scope="module")
def stored(mongo_uri: str) -> Iterator[Stored]:
    with MongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        yield client["ordering"]["entities"]


def entity(number: int, *instances: dict[str, Json], **more: Any) -> Entity:
    attrs = {DEFAULT_VOCAB + "a": list(instances)} if instances else {}
    born = f"2026-07-01T12:00:00.{number:06}"
    return {
        "id": f"urn:x:{number:03}",
        "type": ["T"],
        "createdAt": born,
        "modifiedAt": born,
        "attrs": attrs,
        **more,
    }


def store(stored: Stored, entities: list[Entity]) -> None:
    stored.delete_many({})
    stored.insert_many([{**codec.encode_entity(one), "rev": 1} for one in entities])


def by(text: str, origin: Json = None, rules: str | None = None) -> Ordering:
    terms = order.parse(text, lambda name: DEFAULT_VOCAB + name)
    return Ordering(terms, origin, None if rules is None else collation.parse(rules))


def page(
    stored: Stored, wanted: Ordering, after: str | None = None, skip: int = 0, limit: int = 1000
) -> list[Any]:
    options = {"collation": mongo_collation(wanted.collation)} if wanted.collation else {}
    pipeline = stages(wanted, ALL, (after, skip, limit), {"rev": 1})
    return list(stored.aggregate(pipeline, **options))  # type: ignore[arg-type]


def ids(documents: list[Any]) -> list[int]:
    return [int(one["_id"][6:]) for one in documents]


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_types_come_in_the_order_of_the_clause_and_pages_in_that_order(stored: Stored, seed: int) -> None:
    r = Random(seed)
    numbers = [*range(len(VALUES))] * 2
    r.shuffle(numbers)
    entities = [entity(n, *([found] if (found := VALUES[kind]) else [])) for n, kind in enumerate(numbers)]
    store(stored, entities)
    for text in ("a", "a;desc", "a,id;desc", "type,a;desc"):
        wanted, kinds = by(text), [numbers[n] for n in ids(page(stored, by(text)))]
        assert kinds == sorted(numbers, reverse="a;desc" in text), text
        assert _paged(stored, wanted, r.randrange(1, 9)) == ids(page(stored, wanted))
        assert ids(page(stored, wanted, skip=7, limit=3)) == ids(page(stored, wanted))[7:10]


def _paged(stored: Stored, wanted: Ordering, size: int) -> list[int]:
    """All pages of a size, each behind the key of the last one."""
    found: list[int] = []
    after = None
    while documents := page(stored, wanted, after, limit=size):
        found += ids(documents)
        after = page_key(wanted, documents[-1])
        assert after is not None
    return found


def test_members_and_sub_attributes_and_default_instances_count(stored: Stored) -> None:
    def instance(value: Json, **more: Any) -> dict[str, Json]:
        return {"type": "Property", "value": value, **more}

    sub = {DEFAULT_VOCAB + "s": [instance(5)]}
    store(
        stored,
        [
            entity(0, instance(9, datasetId="urn:d:1"), instance(1, observedAt="2026-01-01T00:00:00.5")),
            entity(1, instance({"x": {"y": 2}}, unitCode="B", createdAt="2020-01-01T00:00:00"), scope=["/b"]),
            entity(2, instance(0, attrs=sub, observedAt="2026-01-01T00:00:00.40"), scope=["/a"]),
            entity(3, type=["A", "T"]),
        ],
    )
    expected = {
        "a": [2, 0, 1, 3],
        "a[x.y]": [1, 0, 2, 3],
        "a.s": [2, 0, 1, 3],
        "a.observedAt": [2, 0, 1, 3],
        "a.unitCode": [1, 0, 2, 3],
        "a.createdAt": [1, 0, 2, 3],
        "a.modifiedAt;desc": [3, 2, 0, 1],
        "createdAt;desc": [3, 2, 1, 0],
        "scope": [2, 1, 0, 3],
        "id;desc": [3, 2, 1, 0],
        "expiresAt,modifiedAt": [0, 1, 2, 3],
        "type;desc": [3, 0, 1, 2],
    }
    assert {text: ids(page(stored, by(text))) for text in expected} == expected


def test_distances_are_metres_on_a_sphere(stored: Stored) -> None:
    def place(lon: float, lat: float) -> dict[str, Json]:
        return {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [lon, lat]}}

    places = [place(9, 40), place(8, 40), place(8, 41), place(-172, -40), place(8.0001, 40), place(900, 1)]
    store(
        stored,
        [entity(n, one) for n, one in enumerate(places)]
        + [entity(6, {"type": "Property", "value": 1}), entity(7)],
    )
    origin = {"type": "Point", "coordinates": [8, 40]}
    found = page(stored, by("a;dist-asc", origin))
    assert ids(found) == [1, 4, 0, 2, 3, 6, 5, 7]
    assert found[0]["k0"]["v"] == 0
    assert math.isclose(found[3]["k0"]["v"], 6_371_008.8 * math.pi / 180, rel_tol=1e-9)
    assert math.isclose(found[4]["k0"]["v"], 6_371_008.8 * math.pi, rel_tol=1e-7)
    assert ids(page(stored, by("a;dist-desc", origin))) == [7, 5, 6, 3, 2, 0, 4, 1]
    assert _paged(stored, by("a;dist-desc", origin), 3) == [7, 5, 6, 3, 2, 0, 4, 1]


@pytest.mark.parametrize(
    ("rules", "order"),
    [
        (None, ["A", "B", "Z", "a", "z", "Ähre", "á"]),
        ("und", ["a", "A", "á", "Ähre", "B", "z", "Z"]),
        ("und-u-kf-upper", ["A", "a", "á", "Ähre", "B", "Z", "z"]),
        ("de-u-co-phonebk", ["a", "A", "á", "Ähre", "B", "z", "Z"]),
        ("sv", ["a", "A", "á", "B", "z", "Z", "Ähre"]),
        ("tlh-Latn-XX", ["a", "A", "á", "Ähre", "B", "z", "Z"]),
    ],
)
def test_texts_are_sorted_by_a_collation(stored: Stored, rules: str | None, order: list[str]) -> None:
    words = ["Z", "á", "A", "Ähre", "z", "B", "a"]
    store(stored, [entity(n, {"type": "Property", "value": word}) for n, word in enumerate(words)])
    assert [words[n] for n in ids(page(stored, by("a", rules=rules)))] == order
    assert [words[n] for n in _paged(stored, by("a", rules=rules), 2)] == order


def test_entities_that_a_collation_takes_for_the_same_are_not_lost(stored: Stored) -> None:
    names = ["urn:x:A", "urn:x:a", "urn:x:B", "urn:x:b"]
    store(stored, [{**entity(0, {"type": "Property", "value": one[-1]}), "id": one} for one in names])
    wanted = by("a", rules="und-u-ks-level1")
    found, after = [], None
    while documents := page(stored, wanted, after, limit=1):
        found.append(documents[0]["_id"])
        after = page_key(wanted, documents[0])
    assert found == names


def test_every_locale_and_kind_is_known_to_mongodb(stored: Stored) -> None:
    for locale in _LOCALES:
        language, *more = locale.split("_")
        assert mongo_collation(collation.parse("-".join([language, *more])))["locale"] == locale
    for kind, (_, locales) in _KINDS.items():
        for locale in locales.split() or ["en"]:
            rules = collation.parse(
                f"{locale.replace('_', '-')}-u-co-{kind}-ks-level2-ka-shifted-kf-upper-kn-kv-space"
            )
            stored.find_one({}, collation=mongo_collation(rules))
    for ks, kf, kc, kb in product(_STRENGTHS, ("upper", "false"), ("true", "false"), ("true", "false")):
        rules = collation.parse(f"fr-CA-u-ks-{ks}-kf-{kf}-kc-{kc}-kb-{kb}-kk-ka-noignore-kv-punct")
        stored.find_one({}, collation=mongo_collation(rules))
    with pytest.raises(BadRequestData, match="phonebk"):
        mongo_collation(collation.parse("fr-u-co-phonebk"))


@settings(max_examples=3)
@given(st.integers(0, 2**32))
def test_a_collation_leaves_the_selection_alone(stored: Stored, seed: int) -> None:
    r = Random(seed)
    store(stored, [some.entity(r, number) for number in range(120)])
    for _ in range(150):
        wanted = to_filter(some.full_query(r))
        if "$expr" in repr(wanted):  # texts of all languages: MongoDB has no other way to look at them
            continue
        plain = {one["_id"] for one in stored.find(wanted, {"_id": 1})}
        rules = {"locale": "en", "strength": 1}
        assert {one["_id"] for one in stored.find(exact(wanted), {"_id": 1}, collation=rules)} == plain, (
            wanted
        )


def packed(key: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def nested(levels: int) -> Json:
    value: Json = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "after",
    [
        "",
        "x",
        "W10",
        "W1tdLCJ1cm46eDoxIl0",
        "e30",
        "W1tbMSx7fV1dLDFd",
        "WyJhIiwidXJuOng6MSJd",
        "é",
        "[" * 5000,
        packed([[[1, {"a\0": 1}]], "urn:x:1"]),
        packed([[[1, [{"a": {"b\0": 1}}]]], "urn:x:1"]),
        packed([[[10**30, 1]], "urn:x:1"]),
        packed([[[2**63]], "urn:x:1"]),
        packed([[[11]], "urn:x:1"]),
        packed([[[-1]], "urn:x:1"]),
        packed([[[True, 1]], "urn:x:1"]),
        packed([[[1, math.nan]], "urn:x:1"]),
        packed([[[1, 1, 1]], "urn:x:1"]),
        packed([[[]], "urn:x:1"]),
        packed([[[1, nested(300)]], "urn:x:1"]),
        packed([[[1, nested(99)]], "urn:x:1"]),
    ],
)
def test_what_is_no_key_of_a_page_is_refused(after: str) -> None:
    with pytest.raises(BadRequestData, match="after"):
        stages(by("a"), ALL, (after, 0, 1), {})


def test_a_key_that_is_too_long_is_none() -> None:
    assert page_key(by("a"), {"_id": "urn:x:1", "k0": {"r": 1, "v": "x" * 5000}}) is None


async def test_too_many_distances_to_work_out_are_refused(mongo_uri: str, stored: Stored) -> None:
    line = {"type": "LineString", "coordinates": [[8, 40], [9, 41]]}
    place = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [8, 40]}}
    store(stored, [{**entity(0, place), "id": f"urn:x:{n}"} for n in range(2001)])
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        entities = client["ordering"]["entities"]
        wanted = by("a;dist-asc", line)
        with pytest.raises(TooComplexQuery, match="2000"):
            await distances(entities, wanted, ALL, 10)
        with pytest.raises(TooComplexQuery, match="longer"):
            await distances(entities, wanted, ALL, 0)
        [(term, metres)] = (await distances(entities, wanted, {"_id": "urn:x:7"}, 10)).items()
        assert (term, metres) == (wanted.terms[0], {"urn:x:7": 0.0})
        near = {"type": "Point", "coordinates": [8, 40]}
        assert await distances(entities, by("a;dist-asc", near), ALL, 10) == {term: {}}


def test_a_key_that_is_too_deep_is_none(stored: Stored) -> None:
    for levels in (98, 99, 120):
        document = {"_id": "urn:x:1", "k0": {"r": 3, "v": nested(levels)}}
        after = page_key(by("a"), document)
        assert (after is None) == (levels > 98)
        if after is not None:
            assert isinstance(page(stored, by("a"), after), list)


@settings(max_examples=30)
@given(st.integers(0, len(order.TYPES) - 1), json_values(8))
def test_what_a_key_holds_is_what_mongodb_is_asked_for(stored: Stored, rank: int, value: Json) -> None:
    """Whatever value an entity has, the page behind it can be asked for."""
    encoded = codec.encode_instance({"type": "Property", "value": value})["value"]
    after = page_key(by("a"), {"_id": "urn:x:1", "k0": {"r": rank, "v": encoded}})
    if after is not None:
        assert isinstance(page(stored, by("a"), after), list)
