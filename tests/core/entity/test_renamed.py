"""Documents in the names of another @context (4.3.6.6): they mean the same there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.entity import parse
from broker.core.entity.renamed import Renaming, attribute_name
from broker.core.entity.values import ParseOptions
from broker.core.entity.view import View, view
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from tests.core.documents import CONTEXTS, CORE, EX, NULL, POINT, entities, few

pytestmark = pytest.mark.clause("4.3.6.6")

HEAT = "https://ex.org/t/heat"


@few
@given(entities(), st.sampled_from(CONTEXTS), st.sampled_from(["normalized", "concise"]))
def test_a_document_says_the_same_in_any_names(doc: dict[str, Json], new: Context, form: str) -> None:
    shown = view({**parse.entity(doc, EX), "createdAt": "x"}, EX, View(form))
    assert parse.entity(Renaming(EX, new).entity(shown), new) == parse.entity(shown, EX)


@pytest.mark.parametrize(
    ("raw", "renamed"),
    [
        (5, 5),
        (NULL, NULL),
        ("Room", "Room"),
        ([1, {"heat": 2}], [1, {"heat": 2}]),
        ({"heat": 1}, {"heat": 1}),
        ({"value": {"heat": 1}, "heat": 1}, {"value": {"heat": 1}, HEAT: 1}),
        ({"json": {"heat": 1}}, {"json": {"heat": 1}}),
        ({"vocab": ["Room", "T"]}, {"vocab": ["https://ex.org/Room", "T"]}),
        ({"vocab": NULL}, {"vocab": NULL}),
        ({"object": "urn:x:1", "objectType": "Room"}, {"object": "urn:x:1", "objectType": "https://ex.org/Room"}),
        ([{"value": 1, "heat": 1}, {"value": 2, "datasetId": "urn:d:1"}],
         [{"value": 1, HEAT: 1}, {"value": 2, "datasetId": "urn:d:1"}]),
        (POINT, POINT),
        ({"@value": "heat", "@type": "T"}, {"@value": "heat", "@type": "T"}),
        ({"type": "Property", "value": 1, "heat": [{"vocab": "Room"}]},
         {"type": "Property", "value": 1, HEAT: [{"vocab": "https://ex.org/Room"}]}),
    ],
)  # fmt: skip
def test_names_are_members_and_never_values(raw: Json, renamed: Json) -> None:
    assert Renaming(EX, CORE).attribute(raw) == renamed


@pytest.mark.clause("5.5.12")
@pytest.mark.parametrize(
    ("raw", "renamed"),
    [
        ({"heat": {"value": 1}}, {HEAT: {"value": 1}}),
        ({"heat": {"value": 1}, "cold": NULL}, {HEAT: {"value": 1}, "cold": NULL}),
        ({"observedAt": "x", "heat": 1}, {"observedAt": "x", HEAT: 1}),
        ({"heat": 1}, {"heat": 1}),
        ({"heat": NULL}, {"heat": NULL}),
        ({}, {}),
    ],
)
def test_a_merge_may_have_fragments_of_instances(raw: Json, renamed: Json) -> None:
    assert Renaming(EX, CORE, is_merge=True).attribute(raw) == renamed


def test_an_entity_keeps_its_own_members() -> None:
    doc = {"id": "urn:x:1", "type": ["Room", "T"], "scope": "heat", "expiresAt": "x", "heat": 1}
    assert Renaming(EX, CORE).entity(doc) == {
        "id": "urn:x:1", "type": ["https://ex.org/Room", "T"], "scope": "heat", "expiresAt": "x", HEAT: 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "iri",
    [DEFAULT_VOCAB + "id", NGSI_LD + "hasValue", NGSI_LD + "scope", NGSI_LD + "unitCode"],
)
def test_words_that_would_say_something_else_are_no_names(iri: str) -> None:
    assert attribute_name(iri, CORE) == iri
    assert parse.attribute_name(iri, CORE) == iri


def test_a_fragment_is_parsed_the_same() -> None:
    doc = {"heat": NULL, "cold": {"value": 1, "heat": {"value": NULL}}}
    renamed = Renaming(EX, CORE).entity(doc)
    assert parse.fragment(renamed, ParseOptions(CORE, nulls=True)) == parse.fragment(
        doc, ParseOptions(EX, nulls=True)
    )
