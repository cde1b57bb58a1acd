"""Names and IRIs: the tables of a context, and the rules for what they do not hold (4.4, 5.5.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.contexts.compiler import compile_context
from broker.core.jsonld import context as module
from broker.core.jsonld.context import core
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from tests.core.documents import CORE, EX

PAIRS = [
    ("heat", "https://ex.org/t/heat"),
    ("ex:other", "https://ex.org/other"),
    ("plain", DEFAULT_VOCAB + "plain"),
    ("location", NGSI_LD + "location"),
    ("ngsi-ld:fresh", NGSI_LD + "fresh"),
    ("https://far.org/x", "https://far.org/x"),
    ("urn:far:x", "urn:far:x"),
]


@pytest.mark.clause("5.5.7")
@pytest.mark.parametrize(("name", "iri"), PAIRS)
def test_a_name_and_its_iri(name: str, iri: str) -> None:
    assert EX.expand(name) == iri
    assert EX.compact(iri) == name


@pytest.mark.clause("5.5.7")
def test_a_name_that_means_something_else_here_does_not_stand_for_a_default_iri() -> None:
    assert CORE.compact(DEFAULT_VOCAB + "heat") == "heat"
    assert EX.compact(DEFAULT_VOCAB + "heat") == "ngsi-ld:default-context/heat"
    assert EX.expand("ngsi-ld:default-context/heat") == DEFAULT_VOCAB + "heat"


@pytest.mark.clause("5.5.7")
def test_an_iri_without_a_name_stays_whole() -> None:
    assert CORE.compact("https://ex.org/t/heat") == "https://ex.org/t/heat"


@pytest.mark.clause("5.5.7")
def test_of_several_names_the_shortest_is_shown_then_the_least() -> None:
    context = compile_context({"bb": "urn:x:1", "aa": "urn:x:1", "aaa": "urn:x:1"}, {})
    assert context.compact("urn:x:1") == "aa"
    assert {context.expand(name) for name in ("aa", "bb", "aaa")} == {"urn:x:1"}


@pytest.mark.clause("5.5.7")
def test_the_longest_prefix_is_used() -> None:
    context = compile_context({"e": "https://ex.org/", "d": "https://ex.org/deep/"}, {})
    assert context.compact("https://ex.org/deep/x") == "d:x"
    assert context.compact("https://ex.org/deep/") == "d"
    assert context.compact("https://ex.org/x") == "e:x"


def test_slashes_after_a_prefix_make_an_iri() -> None:
    context = compile_context({"https": "urn:bad:"}, {})
    assert context.expand("https://ex.org/x") == "https://ex.org/x"


@pytest.mark.clause("5.5.7")
def test_terms_and_prefixes_of_the_core_come_before_those_of_users() -> None:
    aliases = {"ort": NGSI_LD + "location", "lo": NGSI_LD + "location", "Ding": NGSI_LD + "Property"}
    context = compile_context({**aliases, "a": NGSI_LD}, {})
    assert context.compact(NGSI_LD + "location") == "location"
    assert context.compact(NGSI_LD + "Property") == "Property"
    assert context.compact(NGSI_LD + "fresh") == "ngsi-ld:fresh"
    for name in ("ort", "lo", "a:location", "location"):
        assert context.expand(name) == NGSI_LD + "location"


NAMES = st.from_regex(r"[^\W\d_]\w{0,8}(:[^\W\d_]\w{0,8})?", fullmatch=True)
IRIS = st.sampled_from([DEFAULT_VOCAB, NGSI_LD, "https://ex.org/", "https://ex.org/t/", "urn:far:"]).flatmap(
    lambda start: st.text("abc/.#%é", min_size=1, max_size=6).map(start.__add__)
)


@given(NAMES)
def test_what_was_expanded_compacts_to_an_equal_name(name: str) -> None:
    iri = EX.expand(name)
    assert EX.expand(EX.compact(iri)) == iri
    if ":" not in name:
        assert EX.compact(iri) == name


@given(IRIS)
def test_what_was_compacted_expands_to_itself(iri: str) -> None:
    assert EX.expand(EX.compact(iri)) == iri


def test_memory_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CACHED", 100)
    context = compile_context({"heat": "https://ex.org/heat"}, {})
    for n in range(1000):
        assert context.compact(context.expand(f"n{n}")) == f"n{n}"
    assert len(context._expanded) <= 101 + len(context._terms)
    assert context.expand("heat") == "https://ex.org/heat"
    assert context.compact("https://ex.org/heat") == "heat"


def test_the_core_context_is_compiled_to_what_pyld_makes_of_it() -> None:
    plain, processed = core(), compile_context(None, {})
    for table in ("_terms", "_prefixes", "_vocab", "_inverse", "source"):
        assert getattr(plain, table) == getattr(processed, table)
