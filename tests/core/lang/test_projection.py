"""pick and omit: the language, and what it does to entities."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.entity import parse, update
from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang import projection
from broker.core.lang.projection import MEMBERS, Projection
from tests.core.documents import EX, NOW, entities, few

pytestmark = pytest.mark.clause("4.21")


def read(text: str) -> Projection:
    return projection.parse("pick", text, EX.expand)


def test_names_are_members_or_attributes_whole_or_in_part() -> None:
    found = read("id, heat|ex:a{name,ex:b{type}}")
    assert found.members == {"id"}
    assert found.names == {"https://ex.org/t/heat", "https://ex.org/a"}
    assert found.is_whole("id")
    assert found.is_whole("https://ex.org/t/heat")
    assert "https://ex.org/a" in found
    assert not found.is_whole("https://ex.org/a")
    inside = found.of("https://ex.org/a")
    assert inside is not None
    assert inside.names == {EX.expand("name"), "https://ex.org/b"}
    assert (found.depth, inside.depth, read("id").depth) == (2, 1, 0)


def test_what_is_named_twice_is_the_union() -> None:
    assert read("a{b},a{c}") == read("a{b,c}")
    assert read("a{b},a") == read("a") == read("a|a")


@pytest.mark.parametrize(
    "text", ["", ",", "a,,b", "a||b", "a,", "a;b", "a{b", "a{{b}", "a{,b}", "a{}", "a}", "id{a}"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadRequestData, match="pick"):
        read(text)


def test_too_much_is_refused() -> None:
    with pytest.raises(BadRequestData, match="10 braces"):
        read("a{" * 11 + "b" + "}" * 11)
    with pytest.raises(TooComplexQuery):
        read(",".join(f"a{number}" for number in range(501)))
    with pytest.raises(TooComplexQuery):
        read("a," * 500_000)


_NAMES = st.sampled_from(["heat", "a1", "été_2", "ex:deep", "name", "location", "absent", *sorted(MEMBERS)])


def projections() -> st.SearchStrategy[Projection]:
    return st.lists(_NAMES, min_size=1, max_size=5).map(lambda names: read(",".join(names)))


@few
@given(entities(), projections(), projections(), st.sampled_from(["normalized", "concise", "simplified"]))
def test_pick_and_omit_share_out_an_entity(
    doc: dict[str, Any], pick: Projection, omit: Projection, format: str
) -> None:
    entity = update.create(parse.entity(doc, EX))(None, NOW).after
    assert entity is not None

    def shown(pick: Projection | None = None, omit: Projection | None = None) -> dict[str, Any]:
        return view(entity, EX, View(format, True, pick, omit))

    whole, picked, left = shown(), shown(pick), shown(omit=pick)
    assert picked.keys().isdisjoint(left)
    assert picked | left == whole
    assert shown(pick, omit) == {k: v for k, v in picked.items() if k in shown(omit=omit)}
    both = Projection(pick.members | omit.members, (*pick.attrs, *omit.attrs))
    assert shown(pick, both) == {}
    assert shown(both, None) == picked | shown(omit)


@few
@given(entities(), projections())
def test_an_entity_of_which_nothing_is_needed_is_left_with_nothing(
    doc: dict[str, Any], pick: Projection
) -> None:
    entity = update.create(parse.entity(doc, EX))(None, NOW).after
    assert entity is not None
    shape = View(pick=pick)
    if shape.needed:
        has = any(name in entity or name in entity["attrs"] for name in shape.needed)
        assert bool(view(entity, EX, shape)) is has
