"""The ordering language, and names of collations."""

import pytest

from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang import collation, order
from broker.core.lang.collation import Collation
from broker.core.lang.order import OrderTerm
from broker.core.lang.terms import Target
from tests.core.documents import EX

pytestmark = pytest.mark.clause("4.23.3")

EXPAND = EX.expand


def test_terms_name_attributes_members_and_directions() -> None:
    assert order.parse("name", EXPAND) == (OrderTerm(Target((EXPAND("name"),))),)
    assert order.parse("heat , type;desc,heat.ex:sub;asc", EXPAND) == (
        OrderTerm(Target((EXPAND("heat"),))),
        OrderTerm(Target((), member="type"), descending=True),
        OrderTerm(Target((EXPAND("heat"), "https://ex.org/sub"))),
    )
    assert order.parse("a[b.c];desc", EXPAND) == (OrderTerm(Target((EXPAND("a"),), ("b", "c")), True),)
    assert order.parse("a.observedAt", EXPAND) == (OrderTerm(Target((EXPAND("a"),), member="observedAt")),)
    assert order.parse("location;dist-desc", EXPAND) == (
        OrderTerm(Target((EXPAND("location"),)), descending=True, distance=True),
    )
    for name in order.ENTITY_MEMBERS:
        assert order.parse(name, EXPAND) == (OrderTerm(Target((), member=name)),)


@pytest.mark.parametrize(
    "text",
    ["", ",", "a,", "a;", "a;up", "a;dist", "a;ascending", "a;asc;desc", "a[", "a[]", "a[b", "a..b", "!a",
     "<urn:a\0b>", "http://a\0/b", "a.<urn:x^>",
     "observedAt", "unitCode", "a.id.b[", "id;dist-asc", "a[b];dist-asc", "a.unitCode;dist-asc"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadRequestData, match="orderBy"):
        order.parse(text, EXPAND)


def test_too_much_is_refused() -> None:
    for text in (",".join("abcdefghijk"), ".".join("abcdefghijk"), "a[b.c.d.e.f.g.h.i.j.k.l]"):
        with pytest.raises(TooComplexQuery):
            order.parse(text, EXPAND)


def test_distances_are_not_from_too_many_positions() -> None:
    with pytest.raises(TooComplexQuery, match="1000"):
        order.reference("MultiPoint", str([[1, 2]] * 1001))


def test_distances_are_from_a_geometry() -> None:
    assert order.reference("Point", "[8,40]") == {"type": "Point", "coordinates": [8, 40]}
    for kind, coordinates in [
        ("Point", "8,40"),
        ("Point", "[[8,40]]"),
        ("Circle", "[8,40]"),
        ("LineString", "[8,40]"),
        ("Point", "[900,1]"),
        ("LineString", "[[8,40],[8,91]]"),
        ("Point", "[NaN,1]"),
        ("Point", "[1,2,NaN]"),
        ("Point", "[Infinity,1]"),
        ("Point", "[1e999,1]"),
        ("Point", "[" * 300 + "1" + "]" * 300),
        ("MultiPolygon", "[" * 100_000),
    ]:
        with pytest.raises(BadRequestData, match="order"):
            order.reference(kind, coordinates)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("und", Collation("und")),
        ("und-x-icu", Collation("und")),
        ("DE-at", Collation("de", region="AT")),
        ("zh-Hant-TW-u-co-stroke", Collation("zh", "Hant", "TW", (("co", "stroke"),))),
        ("und-u-ks-identic-kn", Collation("und", keys=(("ks", "identic"), ("kn", "true")))),
        ("sl-rozaj-nedis", Collation("sl")),
    ],
)
def test_collations_are_read_by_their_names(name: str, read: Collation) -> None:
    assert collation.parse(name) == read


@pytest.mark.parametrize(
    "name", ["", "!!nope", "not a bcp47 tag!!", "de_DE", "x", "de-", "de-u-zz-a", "de-u-ks-level9", "de-1"]
)
def test_what_is_no_collation_is_refused(name: str) -> None:
    with pytest.raises(BadRequestData, match="collation"):
        collation.parse(name)


def test_heights_may_be_any_number() -> None:
    assert order.reference("Point", f"[8,40,{2**70}]")["coordinates"] == [8, 40, float(2**70)]


def test_a_million_names_are_given_up_at_once() -> None:
    for text in ("a," * 500_000, "a" + ".b" * 500_000, "a[" + ".".join("b" * 500_000) + "]"):
        with pytest.raises(TooComplexQuery, match="at most 10"):
            order.parse(text, EXPAND)
