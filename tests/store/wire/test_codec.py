"""What is stored comes back, through real MongoDB."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from broker.core import Entity, Json
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.store.wire import codec
from tests.core.documents import V, created, entities, few, json_values
from tests.core.entity.test_view import stored as entity_of

Stored = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def stored(mongo_uri: str) -> Iterator[Stored]:
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        yield client["codec_test"]["entities"]


def there_and_back(stored: Stored, entity: Entity) -> Entity:
    own = dict.fromkeys(codec.STORE_MEMBERS, 1)
    stored.replace_one({"_id": entity["id"]}, {**codec.encode_entity(entity), **own}, upsert=True)
    found = stored.find_one({"_id": entity["id"]})
    assert found is not None
    return codec.decode_entity(found)


def exactly(value: Json) -> bytes:
    """The text of a value: tells 1 from 1.0, and the order of members."""
    return orjson.dumps(value)


STRANGE: list[Json] = [
    1, 1.0, -0.0, 0.1, 1e300, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, True, "",
    "\x00", "$x", "2026-07-01T12:00:00.000000001Z", "😀\u2028", [], {}, [[]], [None], [[1, 1.0], {}],
    {"b": 1, "a": 2}, {"": 1}, {"a.b": 1, "a": {"b": 2}}, {".": 1}, {"$": 1}, {"$set": {"$ref": 1}},
    {"$ref": "x", "$id": 1, "$db": "y"}, {"$oid": "0" * 24}, {"$date": 1}, {"$numberLong": "1"}, {"%": 1},
    {"%24": 1, "$": 2, "%2524": 3}, {"\x00": 1, "%00": 2}, {"a\x00b": {"$": 2**64 - 1}},
    {"_id": 1, "esc": True}, {"@id": "x", "@type": "y"},
    {"type": "Property", "value": 1}, {"attrs": {"a": [{"esc": True, "attrs": {}}]}},
]  # fmt: skip


@pytest.mark.clause("4.6.3")
@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_a_value_comes_back_exactly(stored: Stored, value: Json) -> None:
    words = {"en": "$x", "pt-BR": ["a", "b"], "@none": ""}
    entity = created(
        heat={"type": "Property", "value": value, "sub": {"type": "ListProperty", "valueList": [value]}},
        raw={"json": [value]},
        words={"languageMap": words},
    )
    back = there_and_back(stored, entity)
    (heat,) = back["attrs"][V + "heat"]
    assert exactly(heat["value"]) == exactly(value)
    assert exactly(heat["attrs"][V + "sub"][0]["valueList"]) == exactly([value])
    assert exactly(back["attrs"][V + "raw"][0]["json"]) == exactly([value])
    assert back["attrs"][V + "words"][0]["languageMap"] == words
    assert "esc" not in heat


@settings(max_examples=100)
@given(json_values(20).filter(lambda value: value is not None))
def test_any_value_comes_back_exactly(stored: Stored, value: Json) -> None:
    entity = created(heat={"type": "ListProperty", "valueList": [value]})
    back = there_and_back(stored, entity)
    assert exactly(back["attrs"]) == exactly(entity["attrs"])


@few
@given(entities())
def test_any_entity_comes_back(stored: Stored, doc: dict[str, Json]) -> None:
    entity = entity_of(doc)
    back = there_and_back(stored, entity)
    assert back == entity
    assert back.keys() == entity.keys()


@pytest.mark.parametrize("depth", [60, 90])
def test_deep_values_come_back(stored: Stored, depth: int) -> None:
    value: Json = "deep"
    for level in range(depth):
        value = {"$": value} if level % 2 else [value]
    entity = created(heat={"type": "Property", "value": value})
    assert there_and_back(stored, entity) == entity


def test_what_needs_no_change_is_stored_as_it_is() -> None:
    entity = created(heat={"type": "Property", "value": {"a.b": [1, {"c": 2.5}]}})
    (instance,) = entity["attrs"][V + "heat"]
    assert codec.encode_instance(instance) is instance


def test_encoding_does_not_touch_the_entity() -> None:
    entity = created(heat={"value": {"$": 2**64 - 1}, "sub": {"value": {"$": 1}}})
    before = exactly(entity)
    codec.encode_entity(entity)
    assert exactly(entity) == before


WORDS = st.text(st.sampled_from("ab.$%~:/2E45A\u00e9"), min_size=1, max_size=8)
IRIS = st.sampled_from(["", DEFAULT_VOCAB, NGSI_LD, "urn:", "https://ex.org/"]).flatmap(
    lambda s: WORDS.map(s.__add__)
)


@settings(max_examples=100)
@given(IRIS.filter(lambda iri: not iri.startswith("~")))
def test_a_key_leads_back_to_its_iri(iri: str) -> None:
    key = codec.key(iri)
    assert codec.name(key) == codec._name(codec._key(iri)) == iri
    assert not set(key) & set(".$\x00")
    assert key


@given(IRIS, IRIS)
def test_keys_differ_as_iris_do(one: str, other: str) -> None:
    assert (codec.key(one) == codec.key(other)) is (one == other)


@pytest.mark.parametrize(
    ("iri", "key"), [(V + "speed", "~speed"), (NGSI_LD + "location", "location"), ("urn:a.b", "urn:a%2Eb")]
)
def test_common_keys_stay_short(iri: str, key: str) -> None:
    assert codec.key(iri) == key
    assert codec.name(key) == iri


def test_an_attribute_under_any_iri_comes_back(stored: Stored) -> None:
    names = [
        V + "a.b",
        V + "$a",
        "https://ex.org/a.b$c%2E",
        NGSI_LD + "~x",
        NGSI_LD + "%3Ax",
        "urn:$",
        "urn:\x00%00",
        V + "a:b",
    ]
    entity = created()
    entity["attrs"] = {iri: [{"type": "Property", "value": n}] for n, iri in enumerate(names)}
    assert there_and_back(stored, entity) == entity
