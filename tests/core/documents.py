"""Documents as clients send them, and the contexts that they are in: for the tests of `broker.core`."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from broker.contexts.compiler import compile_context
from broker.core import Entity, Json
from broker.core.entity import parse, update
from broker.core.entity.parse import Fragment
from broker.core.entity.values import ParseOptions, is_null
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD

CORE = compile_context(None, {})
EX = compile_context({"ex": "https://ex.org/", "Room": "ex:Room", "heat": "ex:t/heat"}, {})
# Contexts with other names for the same: aliases of core terms, names that change places, prefixes.
CONTEXTS = (
    CORE,
    EX,
    compile_context(
        {"ort": NGSI_LD + "location", "h": "https://ex.org/t/", "q": "https://ex.org/p.q$r%2E"}, {}
    ),
    compile_context({"heat": DEFAULT_VOCAB + "cold", "cold": "https://ex.org/t/heat", "T": "urn:t:A"}, {}),
    compile_context({"t": "urn:t:", "core": NGSI_LD, "Room": "urn:t:B", "warm": "https://ex.org/t/heat"}, {}),
)
V = DEFAULT_VOCAB
NOW, LATER = "2026-07-01T12:00:00.000001", "2026-07-01T12:00:00.000002"
NULL = "urn:ngsi-ld:null"
POINT = {"type": "Point", "coordinates": [13.4, 52.5]}

few = settings(max_examples=15)  # of large examples

# One value of each kind of attribute, in normalized form.
KINDS: list[dict[str, Json]] = [
    {"type": "Property", "value": 21.5, "unitCode": "CEL"},
    {"type": "GeoProperty", "value": POINT},
    {"type": "Relationship", "object": "urn:x:1", "objectType": "Room"},
    {"type": "LanguageProperty", "languageMap": {"en": "heat", "fr": ["chaleur", "chaud"]}},
    {"type": "VocabProperty", "vocab": ["heat", "cold"]},
    {"type": "JsonProperty", "json": {"@id": 1, "heat": [None]}},
    {"type": "ListProperty", "valueList": [3, [1], "x"]},
    {"type": "ListRelationship", "objectList": [{"object": "urn:x:2"}, {"object": "urn:x:1"}]},
]


def created(now: str = NOW, **attrs: Json) -> Entity:
    """The entity urn:x:1 of type T with these attributes (or scope), as it is stored once created."""
    doc = {"id": "urn:x:1", "type": "T", **attrs}
    after = update.create(parse.entity(doc, CORE))(None, now).after
    assert after is not None
    return after


def fragment(**attrs: Json) -> Fragment:
    """What an update sends; NGSI-LD Nulls may stand in it."""
    return parse.fragment(attrs, ParseOptions(CORE, nulls=True))


def json_values(max_leaves: int = 8) -> st.SearchStrategy[Any]:
    """Any JSON, with the keys and numbers that databases and JSON-LD stumble over."""
    keys = st.text(max_size=4) | st.sampled_from(
        ["$ref", "$id", "$set", "a.b", "", ".", "$", "%", "%24", "\x00", "@id", "@type", "type", "value"]
    )
    numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    leaves = st.none() | st.booleans() | numbers | st.text(max_size=6)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=max_leaves,
    )


def _uris() -> st.SearchStrategy[str]:
    return st.sampled_from(["urn:x:1", "urn:x:2", "https://ex.org/é?a=1#b"])


def _names() -> st.SearchStrategy[str]:
    return st.sampled_from(["heat", "a1", "été_2", "ex:deep", "https://other.org/p.q", "name", "location"])


def _instants() -> st.SearchStrategy[str]:
    return st.datetimes().map(lambda t: t.isoformat() + "Z")


def _some_or_one(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return one | st.lists(one, min_size=1, max_size=3)


def _values() -> st.SearchStrategy[dict[str, Json]]:
    """The type and the value of an instance, with the members that its kind alone may have."""
    words, text = st.text("abé ", min_size=1, max_size=4), st.text(min_size=1, max_size=4)
    languages = st.dictionaries(st.sampled_from(["en", "fr", "@none"]), _some_or_one(words))
    plain = json_values(4).filter(lambda value: value is not None and not is_null(value))
    containers = st.lists(plain, max_size=3).filter(lambda value: not is_null(value))
    objects = st.lists(_uris().map(lambda uri: {"object": uri}), max_size=3)

    def of(kind: str, member: str, value: st.SearchStrategy[Any], **own: Any) -> st.SearchStrategy[Any]:
        return st.fixed_dictionaries({"type": st.just(kind), member: value}, optional=own)

    return st.one_of(
        of("Property", "value", plain, unitCode=text, valueType=_names()),
        of("GeoProperty", "value", st.just(POINT)),
        of("Relationship", "object", _some_or_one(_uris()), objectType=_names()),
        of("LanguageProperty", "languageMap", languages),
        of("VocabProperty", "vocab", _some_or_one(_names())),
        of("JsonProperty", "json", containers),
        of("ListProperty", "valueList", containers, unitCode=text),
        of("ListRelationship", "objectList", objects, objectType=_names()),
    )


@st.composite
def _instance(draw: st.DrawFn, depth: int) -> dict[str, Json]:
    found = dict(draw(_values()))
    if draw(st.booleans()):
        found["observedAt"] = draw(_instants())
    if depth and draw(st.booleans()):
        name = draw(_names().filter(lambda name: name != "location"))
        found[name] = draw(attributes(depth - 1))
    return found


@st.composite
def attributes(draw: st.DrawFn, depth: int = 1) -> Json:
    """One attribute in normalized form, of one or several instances."""
    datasets = draw(st.lists(st.sampled_from([None, "urn:d:1", "urn:d:2"]), min_size=1, unique=True))
    found = []
    for dataset in datasets:
        instance = draw(_instance(depth))
        found.append(instance if dataset is None else {**instance, "datasetId": dataset})
    return found[0] if len(found) == 1 else found


@st.composite
def entities(draw: st.DrawFn) -> dict[str, Json]:
    """An entity in normalized form, in the names of the context EX."""
    doc: dict[str, Json] = {"id": draw(_uris())}
    types = draw(st.lists(st.sampled_from(["Room", "T", "ex:U"]), min_size=1, unique=True))
    doc["type"] = types[0] if len(types) == 1 else types
    if scopes := draw(st.lists(st.sampled_from(["/a", "/a/b", "/é"]), unique=True)):
        doc["scope"] = scopes[0] if len(scopes) == 1 else scopes
    for name in draw(st.lists(_names(), max_size=3, unique=True)):
        geo = {"type": "GeoProperty", "value": POINT}
        doc[name] = geo if name == "location" else draw(attributes())
    return doc
