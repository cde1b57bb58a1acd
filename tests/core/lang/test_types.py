"""The language of entity type selection (4.17)."""

import pytest

from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang.types import TypeSelection, matches, parse

pytestmark = pytest.mark.clause("4.17")


def _parse(text: str) -> TypeSelection:
    return parse(text, lambda name: name if ":" in name else "x:" + name)


@pytest.mark.parametrize(
    ("text", "any_of"),
    [
        ("Building", (("x:Building",),)),
        ("Building|House", (("x:Building",), ("x:House",))),
        ("Building, House", (("x:Building",), ("x:House",))),
        ("(Home;Vehicle)", (("x:Home", "x:Vehicle"),)),
        ("(Home;Vehicle)|Motorhome", (("x:Home", "x:Vehicle"), ("x:Motorhome",))),
        ("(Home)", (("x:Home",),)),
        ("(Home|Vehicle)", (("x:Home",), ("x:Vehicle",))),
        ("(Home,Vehicle),A", (("x:Home",), ("x:Vehicle",), ("x:A",))),
        ("https://ex.org/T.1,Home", (("https://ex.org/T.1",), ("x:Home",))),
        ("A,A", (("x:A",),)),
        ("*", ((),)),
    ],
)
def test_selections(text: str, any_of: tuple[tuple[str, ...], ...]) -> None:
    selection = _parse(text)
    assert selection.any_of == any_of
    assert _parse(str(selection)) == selection


@pytest.mark.parametrize(
    "text", ["", "A;B", "(A;B", "A|", ",A", "(A|B;C)", "(A;B|C)", "(*;A)", "((A))", "A B", "1", "A)"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"^type, character"):
        _parse(text)


def test_too_many_types_are_too_complex() -> None:
    with pytest.raises(TooComplexQuery):
        _parse(",".join(f"T{i}" for i in range(501)))


@pytest.mark.parametrize(
    ("text", "types", "selected"),
    [
        ("A", ["x:A", "x:B"], True),
        ("A", ["x:AB"], False),
        ("A,B", ["x:B"], True),
        ("(A;B)", ["x:B"], False),
        ("(A;B)", ["x:B", "x:C", "x:A"], True),
        ("(A;B)|C", ["x:C"], True),
        ("*", ["x:Z"], True),
    ],
)
def test_an_entity_has_the_types_of_one_alternative(text: str, types: list[str], selected: bool) -> None:
    assert matches(_parse(text), types) is selected


def test_what_a_selection_is_about() -> None:
    assert _parse("(A;B)|C").names == {"x:A", "x:B", "x:C"}
    assert _parse("A,*").is_anything
    assert not _parse("A").is_anything
