"""The index of context sources finds what a scan finds, and looks at little else."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.federation.matching import Spec, match, spec_of_entity
from broker.core.federation.source import Source, SourceEntity, SourceInfo
from broker.core.lang.types import TypeSelection
from broker.core.selector import Selector
from broker.federation import id_patterns
from broker.federation.source_index import SourceIndex
from broker.ports.sources import SourceChanges

NOW, LATER = "2026-10-01T12:00:00.000000", "2026-10-02T12:00:00.000000"
ENDPOINT = "http://source:9"
TYPES, ATTRS = ("A", "B", "C"), ("heat", "cold", "n")
IDS = ("urn:x:1", "urn:x:2", "urn:y:1", "urn:y:12")
PATTERNS = (".*", "^urn:x:", "x:1$", "[12]$", "urn:y:1", "(x|y):1", "", "^urn:[xy]:[0-9]+$")


def small(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


entities = st.builds(
    SourceEntity, small(*TYPES), st.none() | st.sampled_from(IDS), st.none() | st.sampled_from(PATTERNS)
)
infos = st.builds(
    SourceInfo, st.lists(entities, max_size=2).map(tuple), st.frozensets(st.sampled_from(ATTRS), max_size=2)
)
sources = st.builds(
    Source,
    st.sampled_from([f"urn:r:{n}" for n in range(8)]),
    st.just(ENDPOINT),
    infos=st.lists(infos, min_size=1, max_size=2).map(tuple),
    alias=st.sampled_from([None, None, "a", "b~t"]),
    datasets=st.frozensets(st.sampled_from(["urn:d:1", "urn:d:2"]), max_size=1),
    expires=st.sampled_from([None, NOW, LATER]),
)
selections = st.lists(small(*TYPES), min_size=1, max_size=2).map(lambda many: TypeSelection(tuple(many)))
selectors = st.builds(Selector, selections, small(*IDS), st.none() | st.sampled_from(PATTERNS))
specs = st.builds(
    Spec,
    st.none() | selections,
    small(*IDS),
    st.none() | st.sampled_from(PATTERNS),
    st.frozensets(st.sampled_from(ATTRS), max_size=2),
    datasets=st.frozensets(st.sampled_from(["urn:d:1", "urn:d:2"]), max_size=1),
    selectors=st.lists(selectors, max_size=2).map(tuple),
)
# One step: sources that are changed, and ids that are gone.
steps = st.tuples(st.lists(sources, max_size=6), small(*(f"urn:r:{n}" for n in range(8))))


@pytest.mark.parametrize("few", [0, 100])
@given(st.lists(steps, min_size=1, max_size=4), st.lists(specs, max_size=4), small("a", "b", "t", "b~t"))
def test_it_finds_what_a_scan_finds(
    few: int,
    steps: list[tuple[list[Source], tuple[str, ...]]],
    asked: list[Spec],
    via: tuple[str, ...],
) -> None:
    index, known = SourceIndex(), dict[str, Source]()
    with patch.multiple(id_patterns, _FEW=few, _CROWD=1 if few else 4, _FULL=2):
        for epoch, (changed, gone) in enumerate(steps):
            changed = [*{one.id: one for one in changed}.values()]
            gone = tuple(name for name in gone if name not in {one.id for one in changed})
            index.update(SourceChanges(epoch, changed, gone, mark="m"))
            known = {name: one for name, one in known.items() if name not in gone}
            known |= {one.id: one for one in changed}
            assert index.sources == known
            for spec in asked:
                scan = [known[name] for name in sorted(known) if known[name].alias not in via]
                found = [match(one, spec, NOW) for one in scan]
                assert index.concerned(spec, via, NOW) == [one for one in found if one is not None]
        index.drop_expired(LATER)
        assert all(one.expires is None for one in index.sources.values())
        index.update(SourceChanges(9, gone=[*index.sources]))
    tables = [index._of_any_id._groups, index._of_some_ids._groups]
    assert (index.sources, index._of_id, len(index._patterns), tables) == ({}, {}, 0, [{}, {}])


def of(n: int, **entity: Any) -> Source:
    info = SourceInfo((SourceEntity(**entity),), frozenset({"heat"}))
    return Source(f"urn:r:{n:06}", ENDPOINT, infos=(info,))


def index_of(*sources: Source) -> SourceIndex:
    index = SourceIndex()
    index.update(SourceChanges(1, sources, whole=True))
    return index


def names(index: SourceIndex, spec: Spec, via: tuple[str, ...] = ()) -> list[str]:
    return [one.source.id for one in index.concerned(spec, via, NOW)]


def looked_at(index: SourceIndex, spec: Spec) -> set[str]:
    return {name for group in index._candidates(spec.choice, spec.attrs) for name in group}


def test_of_ten_thousand_only_few_are_looked_at() -> None:
    index = index_of(
        *(of(n, types=("T",), id=f"urn:x:{n:06}") for n in range(2000)),
        *(of(2000 + n, types=("T",), id_pattern=f"^urn:y:{n:06}:") for n in range(2000)),
        *(of(4000 + n, types=("T",), id_pattern=f"^z:[0]*{n + 1000}/") for n in range(2000)),
        *(of(6000 + n, types=(f"U{n}",)) for n in range(4000)),
    )
    assert looked_at(index, spec_of_entity("urn:x:000500", ("T",))) == {"urn:r:000500"}
    assert looked_at(index, spec_of_entity("urn:y:000500:1", ("T",))) == {"urn:r:002500"}
    assert looked_at(index, spec_of_entity("z:001500/1", ("T",))) == {"urn:r:004500"}
    assert looked_at(index, spec_of_entity("urn:w:1", ("U5", "V"))) == {"urn:r:006005"}
    assert looked_at(index, spec_of_entity("urn:x:000500", ("T",), ("cold",))) == {"urn:r:000500"}
    assert looked_at(index, Spec(TypeSelection((("T",),)), attrs=frozenset({"cold"}))) == set()
    assert len(looked_at(index, spec_of_entity("urn:x:000500"))) == 4001, "those of any id, and one"


def test_patterns_that_are_too_large_to_be_searched_together_are_searched_all_the_same() -> None:
    index = index_of(*(of(n, id_pattern=f"^urn:.{{0,20}}[{n % 10}x]{{1,9}}y{n}$") for n in range(100)))
    spec = spec_of_entity("urn:aa3y13")
    assert names(index, spec) == ["urn:r:000013"]
    with patch.object(id_patterns, "_MEMORY", 1 << 12):
        index.update(SourceChanges(2, [of(200, id_pattern="[y]13$")]))
        assert names(index, spec) == ["urn:r:000013", "urn:r:000200"]


@pytest.mark.clause("4.3.3")
@pytest.mark.parametrize(
    ("via", "is_found"),
    [((), True), (("city",), False), (("city2",), True), (("city~t",), True), (("x", "city"), False)],
)
def test_a_source_that_was_there_before_is_not_asked_again(via: tuple[str, ...], is_found: bool) -> None:
    index = index_of(Source("urn:r:1", ENDPOINT, infos=(SourceInfo(),), alias="city"))
    assert (names(index, Spec(), via) == ["urn:r:1"]) is is_found
