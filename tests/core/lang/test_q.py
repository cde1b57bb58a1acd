"""The grammar of q (4.9): what parses to what, and what does not."""

import pytest

from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang import q
from broker.core.lang.terms import (
    And,
    Exists,
    Link,
    Literal,
    Or,
    Q,
    Range,
    RegExp,
    Target,
    Term,
    ValueList,
    attributes,
    depth,
)

pytestmark = pytest.mark.clause("4.9")

SPEED, BRAND = Target(("x:speed",)), Target(("x:brandName",))


def _expand(name: str) -> str:
    return "x:" + name


def _parse(text: str) -> Q:
    return q.parse(text, _expand)


def _number(value: float) -> Literal:
    return Literal("number", value)


def _text(value: str) -> Literal:
    return Literal("text", value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("speed", Exists(SPEED)),
        ("!speed", Exists(SPEED, absent=True)),
        ("speed==20", Term(SPEED, "==", _number(20))),
        ("speed==-1.5e3", Term(SPEED, "==", _number(-1500.0))),
        ('brandName!="Mercedes"', Term(BRAND, "!=", _text("Mercedes"))),
        (r'brandName=="a\"b\u00e9"', Term(BRAND, "==", _text('a"bé'))),
        ('brandName=="a;b|(c)"', Term(BRAND, "==", _text("a;b|(c)"))),
        ("brandName==true", Term(BRAND, "==", Literal("boolean", True))),
        ("brandName==urn:ngsi-ld:Parking:1", Term(BRAND, "==", _text("urn:ngsi-ld:Parking:1"))),
        ("brandName==commercial", Term(BRAND, "==", _text("commercial"))),
        ("brandName==%22Tesla%22", Term(BRAND, "==", _text("%22Tesla%22"))),
        ("speed<=2026-07-01T12:00:00.50Z", Term(SPEED, "<=", Literal("dateTime", "2026-07-01T12:00:00.50"))),
        (
            "speed==2026-07-01T12:00:00,5Z,1",
            Term(SPEED, "==", ValueList((Literal("dateTime", "2026-07-01T12:00:00.5"), _number(1)))),
        ),
        ("speed>2026-07-01", Term(SPEED, ">", Literal("date", "2026-07-01"))),
        ("speed<12:00:00.5Z", Term(SPEED, "<", Literal("time", "12:00:00.5"))),
        ("speed==4..5", Term(SPEED, "==", Range(_number(4), _number(5)))),
        ('speed!="a".."b"', Term(SPEED, "!=", Range(_text("a"), _text("b")))),
        ('brandName=="a", "b"', Term(BRAND, "==", ValueList((_text("a"), _text("b"))))),
        ('brandName~="^Eif\\d\\""', Term(BRAND, "~=", RegExp('^Eif\\d\\"'))),
        ("brandName!~=^Eif.*", Term(BRAND, "!~=", RegExp("^Eif.*"))),
        ("speed>1 ; brandName", And((Term(SPEED, ">", _number(1)), Exists(BRAND)))),
    ],
)
def test_terms(text: str, expected: Q) -> None:
    assert _parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b.c", Target(("x:a", "x:b", "x:c"))),
        ("a[b.c-d]", Target(("x:a",), ("b", "c-d"))),
        ("a.b[en-GB]", Target(("x:a", "x:b"), ("en-GB",))),
        ("a[*]", Target(("x:a",), ("*",))),
        ("a.observedAt", Target(("x:a",), member="observedAt")),
        ("a.b.unitCode", Target(("x:a", "x:b"), member="unitCode")),
        ("createdAt", Target((), member="createdAt")),
        ("straße_2", Target(("x:straße_2",))),
        ("ex:a.ex:b", Target(("x:ex:a", "x:ex:b"))),
        ("https://ex.org/p.q", Target(("x:https://ex.org/p.q",))),
        ("<https://ex.org/p.q>.a", Target(("https://ex.org/p.q", "x:a"))),
        (f"a.<{NGSI_LD}modifiedAt>", Target(("x:a",), member="modifiedAt")),
    ],
)
def test_targets(text: str, expected: Target) -> None:
    assert _parse(text) == Exists(expected)


def test_and_binds_tighter_than_or() -> None:
    a, b, c = (Exists(Target(("x:" + name,))) for name in "abc")
    assert _parse("a|b;c") == Or((a, And((b, c))))
    assert _parse("(a|b);c") == And((Or((a, b)), c))
    assert _parse("((a;b);(c))") == And((a, b, c))
    assert _parse("a|b|(b|c)") == Or((a, b, b, c))


def test_examples_of_the_clause() -> None:
    rpm = Target(("x:rpm",))
    assert _parse('((speed>50|rpm>3000);brandName=="Mercedes")') == And(
        (
            Or((Term(SPEED, ">", _number(50)), Term(rpm, ">", _number(3000)))),
            Term(BRAND, "==", _text("Mercedes")),
        )
    )
    assert isinstance(_parse("(temperature>=20;temperature<=25)|capacity<=10"), Or)


def test_values_named_by_expand_values_are_terms() -> None:
    found = q.parse('gender==Male,"Female";name==Male', _expand, {"x:gender"})
    terms = Term(Target(("x:gender",)), "==", ValueList((_text("x:Male"), _text("x:Female"))))
    assert found == And((terms, Term(Target(("x:name",)), "==", _text("Male"))))


def test_instants_of_members_may_be_quoted() -> None:
    assert _parse('createdAt>"2026-01-01T00:00:00Z"') == _parse("createdAt>2026-01-01T00:00:00Z")
    assert _parse('a>"2026-01-01T00:00:00Z"') != _parse("a>2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1), (";", 1), ("))bad((", 1), ("speed>", 7), ("speed=5", 6), ("speed>4..5", 8), ("speed>1,2", 8),
        ("speed>true", 7), ("speed>urn:a", 7), ("speed==1..", 11), ('speed==1.."a"', 11), ("speed==a..b", 8),
        ("speed==01", 8), ("speed==1e999", 8), ("speed==1 2", 10), ('speed=="a', 8), (r'speed=="\x"', 8),
        (r'speed=="\ud800"', 8), ("speed==2026-02-30T00:00:00Z", 8), ("speed==2026-02-30", 8), ("(a;b", 5),
        ('createdAt=="a".."2026-07-01T12:00:00Z"', 17), ("a;b)", 4),
        ("a[", 3), ("a[b", 4), ("a[]", 3), ("a.", 3), ("1a", 1),
        ("id==urn:a:b", 1), ("a.type", 1),
        ("scope", 1), ("observedAt>1", 1), ("a.observedAt.b", 1), ("!a==1", 3), ("!!a", 2), ("a~=", 4),
        ("a~=(x)", 4), ("speed==" + "1" * 40, 8),
    ],
)  # fmt: skip
def test_errors_say_where(text: str, character: int) -> None:
    with pytest.raises(BadRequestData, match=rf"^q, character {character}: expected "):
        _parse(text)


@pytest.mark.parametrize(
    "text", ['a~="("', 'a~="(?=x)"', r'a~="(x)\1"', 'a~="' + "x" * 600 + '"', 'a~="(?m)^x"']
)
def test_patterns_are_judged_at_once(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"^regular expression"):
        _parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{b}", Target(("x:b",), links=(Link(("x:a",)),))),
        ("a { b } ", Target(("x:b",), links=(Link(("x:a",)),))),
        ("a{T:b.c[d.e]}", Target(("x:b", "x:c"), ("d", "e"), links=(Link(("x:a",), ("x:T",)),))),
        ("a{T,<urn:U> , V:b}", Target(("x:b",), links=(Link(("x:a",), ("x:T", "urn:U", "x:V")),))),
        ("a{<urn:T,1>,U:b}", Target(("x:b",), links=(Link(("x:a",), ("urn:T,1", "x:U")),))),
        ("a.b{c{T:d.observedAt}}", Target(
            ("x:d",), member="observedAt", links=(Link(("x:a", "x:b")), Link(("x:c",), ("x:T",))))),
        ("a{createdAt}", Target((), member="createdAt", links=(Link(("x:a",)),))),
        ("a{https://ex.org/b}", Target(("x:https://ex.org/b",), links=(Link(("x:a",)),))),
    ],
)  # fmt: skip
def test_linked_entities(text: str, expected: Target) -> None:
    assert _parse(text) == Exists(expected)
    assert _parse(f"!{text}") == Exists(expected, absent=True)
    assert _parse(f"{text}>=5") == Term(expected, ">=", _number(5))


def test_the_depth_of_a_query_is_that_of_its_farthest_link() -> None:
    assert [depth(_parse(text)) for text in ("a", "a{b}", "a|b{c}", "(a{b};c{d{e}})|f")] == [0, 1, 1, 2]
    assert attributes(_parse("a{b}|createdAt")) == {"x:a"}


def test_values_of_linked_entities_may_be_terms_too() -> None:
    linked = Target(("x:b",), links=(Link(("x:a",)),))
    assert q.parse("a{b}==Male", _expand, {"x:b"}) == Term(linked, "==", _text("x:Male"))


@pytest.mark.parametrize(
    "text", ["a{", "a{b", "a{}", "a{T:}", "a{b}c", "a{b}.c", "a{b}[c]", "createdAt{b}", "a.observedAt{b}"]
)
def test_braces_that_do_not_fit(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"^q, character [0-9]+: expected "):
        _parse(text)


@pytest.mark.parametrize(
    "text",
    [
        ";".join(["a"] * 101),
        "a==" + ",".join(["1"] * 502),
        "(" * 21 + "a" + ")" * 21,
        ".".join(["a"] * 11),
        f"a[{'.'.join(['a'] * 11)}]",
        "a{" * 11 + "b" + "}" * 11,
    ],
)
def test_too_much_is_too_complex(text: str) -> None:
    with pytest.raises(TooComplexQuery, match=r"^q: expected at most"):
        _parse(text)


def test_attributes_are_those_of_the_entity() -> None:
    assert attributes(_parse("a.b>1;(c[d]|createdAt>2026-01-01T00:00:00Z)")) == {"x:a", "x:c"}
    assert not attributes(_parse("createdAt|modifiedAt"))


@pytest.mark.parametrize(
    "text", ["<urn:a\0b>", "<urn:a\0>==1", "a.<urn:x\0>", "http://a\0/b", "a{<urn:T\0>:b}", "<urn:a^b>"]
)
def test_what_is_in_brackets_is_an_iri(text: str) -> None:
    with pytest.raises(BadRequestData, match="IRI"):
        _parse(text)


def test_a_path_of_a_million_names_is_given_up_at_once() -> None:
    for text in ("a" + ".b" * 500_000, "a[" + ".".join("b" * 500_000) + "]"):
        with pytest.raises(TooComplexQuery, match="at most 10"):
            _parse(text)


@pytest.mark.parametrize("text", ["a=='x'", "a>'x'", "a=='x','y'", "a=='a'..'b'"])
def test_single_quotes_are_told_of_double_ones(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"q, character \d: expected .* double quotes, found \"'"):
        _parse(text)
