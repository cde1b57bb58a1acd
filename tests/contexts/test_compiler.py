"""@context values, compiled to tables by PyLD (4.4, 5.5.7)."""

import pytest

from broker.contexts.compiler import compile_context
from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.jsonld.core_context import CORE_CONTEXT_URL, DEFAULT_VOCAB, NGSI_LD

SPEED = {"speed": "https://ex.org/speed"}
URL = "http://contexts/one"


@pytest.mark.clause("4.4")
@pytest.mark.parametrize(
    "source", [None, {}, [], [None], [CORE_CONTEXT_URL], CORE_CONTEXT_URL.replace("v1.9", "v1.3")], ids=str
)
def test_without_terms_of_its_own_a_context_is_the_core(source: Json) -> None:
    context = compile_context(source, {})
    assert context.expand("location") == NGSI_LD + "location"
    assert context.expand("speed") == DEFAULT_VOCAB + "speed"
    assert context.source == source


@pytest.mark.clause("4.4")
@pytest.mark.parametrize(
    "source",
    [
        SPEED,
        [SPEED],
        [CORE_CONTEXT_URL, SPEED],
        [SPEED, CORE_CONTEXT_URL],
        URL,
        [URL],
        [URL, CORE_CONTEXT_URL],
        {"@import": URL},
        {"ex": "https://ex.org/", "speed": "ex:speed"},
        {"speed": {"@id": "https://ex.org/speed", "@type": "@id"}},
    ],
    ids=str,
)
def test_terms_wherever_they_stand(source: Json) -> None:
    context = compile_context(source, {URL: {"@context": SPEED}})
    assert context.expand("speed") == "https://ex.org/speed"
    assert context.compact("https://ex.org/speed") == "speed"
    assert context.source == source


@pytest.mark.clause("5.5.7")
@pytest.mark.parametrize("redefined", ["location", "Property", "observedAt", "type", "id", "value"])
@pytest.mark.parametrize("order", [1, -1])
def test_the_core_wins_wherever_it_stands(redefined: str, order: int) -> None:
    mine = {redefined: "https://ex.org/mine", **SPEED}
    context = compile_context([CORE_CONTEXT_URL, mine][::order], {})
    plain = compile_context(None, {})
    assert context.expand(redefined) == plain.expand(redefined)
    assert context.compact("https://ex.org/mine") == "https://ex.org/mine"
    assert context.expand("speed") == "https://ex.org/speed"


@pytest.mark.clause("5.5.7")
def test_a_default_vocabulary_of_ones_own_does_not_replace_that_of_the_core() -> None:
    context = compile_context({"@vocab": "https://ex.org/", **SPEED}, {})
    assert context.expand("heat") == DEFAULT_VOCAB + "heat"
    assert context.expand("speed") == "https://ex.org/speed"


@pytest.mark.clause("4.4")
def test_later_terms_replace_earlier_ones_and_remote_ones_may_be_nested() -> None:
    documents = {
        URL: {"@context": ["http://contexts/two", {"b": "urn:b:one"}]},
        "http://contexts/two": {"@context": {"a": "urn:a", "b": "urn:b:two"}},
    }
    context = compile_context([URL, {"c": "urn:c"}], documents)
    assert [context.expand(name) for name in "abc"] == ["urn:a", "urn:b:one", "urn:c"]
    assert context.compact("urn:b:two") == "urn:b:two"


@pytest.mark.clause("4.4")
def test_terms_may_use_the_prefixes_of_a_core_that_stands_before_them() -> None:
    context = compile_context([CORE_CONTEXT_URL, {"fast": "ngsi-ld:fast"}], {})
    assert context.expand("fast") == NGSI_LD + "fast"


@pytest.mark.clause("5.5.7")
def test_scoped_contexts_are_refused() -> None:
    scoped = {"speed": {"@id": "https://ex.org/speed", "@context": {"location": "https://ex.org/mine"}}}
    for source in (scoped, [CORE_CONTEXT_URL, scoped]):
        with pytest.raises(BadRequestData, match="scoped"):
            compile_context(source, {})


@pytest.mark.clause("5.5.7")
def test_scoped_contexts_are_refused_in_remote_documents_as_well() -> None:
    scoped = {"speed": {"@id": "https://ex.org/speed", "@context": {"location": "https://ex.org/mine"}}}
    with pytest.raises(BadRequestData, match="scoped"):
        compile_context(URL, {URL: {"@context": scoped}})


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    "source",
    [
        5,
        True,
        "",
        [5],
        [[SPEED]],
        {"speed": 5},
        {"speed": ["x"]},
        {"@version": 2},
        {"@vocab": 5},
        {"speed": {"@id": 5}},
        {"a": "b:c", "b": "a:c"},
        {"speed": {"@id": "https://ex.org/speed", "@container": "@nothing"}},
        {"@import": 5},
        "http://contexts/absent",
    ],
    ids=str,
)
def test_what_is_no_context_is_refused(source: Json) -> None:
    with pytest.raises(BadRequestData, match="@context"):
        compile_context(source, {})


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize("deep", [60, 900, 100_000])
def test_what_is_nested_or_built_too_deep_is_refused(deep: int) -> None:
    nested: Json = {}
    for _ in range(deep):
        nested = [{"a": nested}]
    with pytest.raises(BadRequestData, match="@context: nested deeper than 50 levels"):
        compile_context(nested, {})
    with pytest.raises(BadRequestData, match="@context: nested deeper than 50 levels"):
        compile_context(URL, {URL: {"@context": nested}})


@pytest.mark.clause("5.5.4")
def test_terms_that_stand_on_many_others() -> None:
    chain = {f"t{n}": f"t{n + 1}:x" for n in range(2000)}
    with pytest.raises(BadRequestData, match="@context"):
        compile_context({**chain, "t2000": "urn:t:"}, {})


def test_what_was_given_is_not_touched() -> None:
    source = [CORE_CONTEXT_URL, {**SPEED, "location": "https://ex.org/mine"}]
    compile_context(source, {})
    assert source == [CORE_CONTEXT_URL, {**SPEED, "location": "https://ex.org/mine"}]
