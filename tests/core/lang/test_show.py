"""Queries as text again (4.9): whatever was parsed prints so that it parses to the same tree."""

from random import Random

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.contexts.compiler import compile_context
from broker.core.errors import NgsiLdError
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.core.lang import geo, q, scope, types
from broker.core.lang.show import show, show_geo, show_scope, show_types
from broker.core.lang.types import TypeSelection
from tests.core.documents import CONTEXTS, CORE, EX
from tests.core.lang import some

pytestmark = pytest.mark.clause("4.9")

ATTRIBUTES = {*some.NAMES, DEFAULT_VOCAB + "b"}
contexts = st.sampled_from(CONTEXTS)


@pytest.mark.parametrize(
    ("text", "in_core"),
    [
        ("heat>5", "<https://ex.org/t/heat>>5"),
        ("!cold.heat[x.y]", "!cold.<https://ex.org/t/heat>[x.y]"),
        ("(cold==1|cold.unitCode!=CEL);createdAt<2026-01-01T00:00:00,5Z",
         '(cold==1|cold.unitCode!="CEL");createdAt<2026-01-01T00:00:00.5Z'),
        ("cold==a,urn:x:1,true", 'cold=="a","urn:x:1",true'),
        ("cold==2026-01-01..2026-02-01", "cold==2026-01-01..2026-02-01"),
        ("cold<12:00:00Z", "cold<12:00:00Z"),
        ("cold==-1.5e3", "cold==-1500.0"),
        (r'cold=="\u00e9\"\n"', r'cold=="é\"\n"'),
        (r"cold!~=^a\d", r'cold!~="^a\d"'),
        ("cold{Room,T:ex:b.c{createdAt}}>=1",
         "cold{<https://ex.org/Room>,T:<https://ex.org/b>.c{createdAt}}>=1"),
        ("cold{<https://ex.org/b>}", "cold{<https://ex.org/b>}"),
        ("ex:cold==1", "<https://ex.org/cold>==1"),
        ("location", "location"),
    ],
)  # fmt: skip
def test_names_are_those_of_the_reader(text: str, in_core: str) -> None:
    tree = q.parse(text, EX.expand)
    assert show(tree, CORE.compact) == in_core
    assert q.parse(in_core, CORE.expand) == tree
    assert q.parse(show(tree, EX.compact), EX.expand) == tree


def test_a_prefix_is_no_type() -> None:
    tree = q.parse("cold{<https://ex.org/b>}|ex:b", EX.expand)
    assert show(tree, EX.compact) == "cold{<https://ex.org/b>}|ex:b"


def test_an_iri_that_looks_like_a_prefix_and_a_term_is_none() -> None:
    tree = q.parse("ex:b==1", CORE.expand)
    assert show(tree, EX.compact) == "<ex:b>==1"


@pytest.mark.parametrize("iri", [NGSI_LD + "scope", DEFAULT_VOCAB + "valueType", DEFAULT_VOCAB + "type"])
def test_words_that_would_say_something_else_are_no_names(iri: str) -> None:
    tree = q.parse(f"<{iri}>==1", CORE.expand)
    assert show(tree, CORE.compact) == f"<{iri}>==1"


def test_values_that_are_terms_are_in_the_names_of_the_reader() -> None:
    values = {DEFAULT_VOCAB + "kind"}
    tree = q.parse("kind==Room,T;cold==Room", EX.expand, values)
    assert show(tree, CORE.compact, values) == 'kind=="https://ex.org/Room","T";cold=="Room"'
    assert show(tree, EX.compact, values) == 'kind=="Room","T";cold=="Room"'


@settings(max_examples=100)
@given(st.randoms(use_true_random=False), contexts)
def test_what_is_shown_parses_to_the_same_tree(r: Random, context: Context) -> None:
    tree = some.linked(r, some.query(r))
    assert q.parse(show(tree, context.compact), context.expand) == tree


@example("<é>", EX, EX)
@settings(max_examples=200)
@given(
    st.text(alphabet='ab.1[]{}()<>=!~;|,"\\ *T:Z-é/', max_size=30)
    | st.lists(
        st.sampled_from(
            ["a", "heat", "cold", "ort", "Room", "<urn:x,1>", ".", "{", "}", "[x]", "T,U:", "==", ">", "~=",
             "!", ";", "|", "(", ")", "1", "1e30", '"a"', "true", "..", ",", "urn:a:b", "2026-01-01",
             "observedAt", "12:00:00,50Z", "2026-01-01T00:00:00.10Z", r'"\"%41"', r"\d+", "https://ex.org/p"]
        ), max_size=9,
    ).map("".join),
    contexts,
    contexts,
)  # fmt: skip
def test_what_any_text_says_can_be_said_in_any_names(text: str, writer: Context, reader: Context) -> None:
    try:
        tree = q.parse(text, writer.expand, ATTRIBUTES)
    except NgsiLdError:
        return
    assert q.parse(show(tree, reader.compact, ATTRIBUTES), reader.expand, ATTRIBUTES) == tree


@pytest.mark.clause("4.17")
@given(st.randoms(use_true_random=False), contexts)
def test_shown_types_parse_to_the_same_selection(r: Random, context: Context) -> None:
    names = (*some.TYPES, DEFAULT_VOCAB + "T", "https://ex.org/Room")
    alternatives = (tuple(r.sample(names, r.choice((0, 1, 1, 2, 3)))) for _ in range(r.randint(1, 4)))
    selection = TypeSelection(tuple(dict.fromkeys(alternatives)))
    assert types.parse(show_types(selection, context.compact), context.expand) == selection


@pytest.mark.clause("4.17")
def test_a_name_that_types_cannot_have_is_an_iri() -> None:
    odd = compile_context({"a b": "urn:t:A", "c,d": "urn:t:B", "e(": "urn:t:C"}, {})
    assert show_types(TypeSelection((("urn:t:A", "urn:t:B"), ("urn:t:C",))), odd.compact) == (
        "(urn:t:A;urn:t:B)|urn:t:C"
    )


@pytest.mark.clause("4.19")
@given(st.randoms(use_true_random=False))
def test_shown_scopes_parse_to_the_same_query(r: Random) -> None:
    query = some.scope_query(r)
    assert scope.parse(show_scope(query)) == query


@pytest.mark.clause("4.10")
@given(st.randoms(use_true_random=False), contexts, st.booleans())
def test_shown_geoqueries_parse_to_the_same(r: Random, context: Context, as_text: bool) -> None:
    query = some.geo_query(r)
    members = show_geo(query, context.compact)
    if as_text:  # as in a query string
        members["coordinates"] = orjson.dumps(members["coordinates"]).decode()
    assert geo.parse(members, context.expand) == query


@pytest.mark.clause("4.10")
@pytest.mark.parametrize(
    ("distance", "shown"),
    [(2000.0, "2000"), (0.5, "0.5"), (1e300, "1e+300"), (2.0**53, "9007199254740992.0")],
)
def test_distances(distance: float, shown: str) -> None:
    query = geo.GeoQuery("maxDistance", {"type": "Point", "coordinates": [1, 2]}, distance=distance)
    members = show_geo(query, CORE.compact)
    assert members["georel"] == f"near;maxDistance=={shown}"
    assert geo.parse(members, CORE.expand) == query
