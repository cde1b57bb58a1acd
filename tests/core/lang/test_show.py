"""Queries as text again (4.9): whatever was parsed prints so that it parses to the same tree."""

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.errors import NgsiLdError
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.core.lang import q
from broker.core.lang.show import show
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


@settings(max_examples=400)
@given(st.randoms(use_true_random=False), contexts)
def test_what_is_shown_parses_to_the_same_tree(r: Random, context: Context) -> None:
    tree = some.linked(r, some.query(r))
    assert q.parse(show(tree, context.compact), context.expand) == tree


@example("<é>", EX, EX)
@settings(max_examples=800)
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
