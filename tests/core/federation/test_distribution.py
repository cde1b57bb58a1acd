"""Plans of writes and purges: what goes where (4.3.6.2, 4.3.6.3, 5.6.1.4, 5.6.6.4, 5.6.21.4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.federation.distribution import plan_purge, plan_retrieve, plan_write
from broker.core.federation.source import Match, SourceEntity
from broker.core.federation.write import Write
from broker.core.lang import types
from broker.core.purge import Purge
from broker.core.query import Query
from tests.core.documents import CORE, V
from tests.core.federation.sources import matched

SPEED, HEAT, LEVEL = (V + name for name in ("speed", "heat", "level"))
NAMES = ("speed", "heat", "level")


def write(operation: str = "createEntity", *names: str, **others: Json) -> Write:
    doc = {"id": "urn:v:1", "type": "Vehicle", **others, **dict.fromkeys(names, 1)}
    return Write(operation, "urn:v:1", CORE, doc)


def bodies(matches: list[Match], wanted: Write) -> dict[str, set[str] | None]:
    """What each source gets, and "here": names of members beside id and type; None for a conflict."""
    plan = plan_write(matches, wanted)
    found: dict[str, set[str] | None] = {
        part.match.source.id.removeprefix("urn:r:"): _names(part.step.doc) if part.step else None
        for part in plan.parts
    }
    return found | ({"here": _names(plan.left)} if plan.is_here else {})


def _names(doc: Json) -> set[str]:
    return set(doc) - {"id", "type"}


EXCLUSIVE = matched("exclusive", "exclusive", [SPEED])
REDIRECT = matched("redirect", "redirect")
SECOND = matched("second", "redirect", [SPEED, HEAT])
INCLUSIVE = matched("inclusive")
AUXILIARY = matched("auxiliary", "auxiliary", operations=["retrieveOps"])
WITHOUT = matched("without", "redirect", [HEAT], operations=["retrieveOps"])


@pytest.mark.clause("5.6.1.4")
@pytest.mark.parametrize(
    ("matches", "wanted", "expected"),
    [
        ([INCLUSIVE], write("createEntity", "speed"), {"inclusive": {"speed"}, "here": {"speed"}}),
        ([EXCLUSIVE], write("createEntity", "speed", "heat"), {"exclusive": {"speed"}, "here": {"heat"}}),
        ([EXCLUSIVE], write("createEntity", "speed"), {"exclusive": {"speed"}}),
        ([EXCLUSIVE], write("createEntity"), {"here": set()}),
        ([REDIRECT], write("createEntity"), {"redirect": set()}),
        ([REDIRECT], write("createEntity", "speed", scope="/a"), {"redirect": {"speed", "scope"}}),
        (
            [EXCLUSIVE, REDIRECT, SECOND],
            write("createEntity", "speed", "heat"),
            {"exclusive": {"speed"}, "redirect": {"heat"}, "second": {"heat"}},
        ),
        (
            [EXCLUSIVE, INCLUSIVE],
            write("createEntity", "speed", "heat"),
            {"exclusive": {"speed"}, "inclusive": {"heat"}, "here": {"heat"}},
        ),
        ([WITHOUT], write("createEntity", "heat", "level"), {"without": None, "here": {"level"}}),
        ([WITHOUT], write("createEntity", "heat"), {"without": None}),
        ([AUXILIARY], write("createEntity", "heat"), {"here": {"heat"}}),
        (
            [SECOND],
            write("mergeEntity", "speed", scope="/a"),  # the scope is the whole entity's
            {"second": {"speed"}, "here": {"scope"}},
        ),
    ],
)
def test_a_document_is_divided(
    matches: list[Match], wanted: Write, expected: dict[str, set[str] | None]
) -> None:
    assert bodies(matches, wanted) == expected


def test_an_inclusive_source_that_does_not_offer_the_operation_is_no_part() -> None:
    reader = matched("reader", operations=["retrieveOps"])
    plan = plan_write([reader], write("createEntity", "speed"))
    assert not plan.parts
    assert plan.is_here


@pytest.mark.clause("5.6.6.4")
def test_a_deletion_goes_everywhere() -> None:
    plan = plan_write([EXCLUSIVE, REDIRECT, INCLUSIVE], Write("deleteEntity", "urn:v:1", CORE))
    assert [part.match for part in plan.parts] == [EXCLUSIVE, REDIRECT, INCLUSIVE]
    assert plan.is_here


@pytest.mark.parametrize(("match", "is_here"), [(EXCLUSIVE, False), (INCLUSIVE, True)])
def test_a_write_to_one_attribute_sends_the_document_as_it_came(match: Match, is_here: bool) -> None:
    doc = {"value": 3, "unitCode": "KMH"}
    plan = plan_write([match], Write("updateAttrs", "urn:v:1", CORE, doc, attr=SPEED))
    [step] = plan.steps
    assert step.doc is doc
    assert step.attr == SPEED
    assert plan.is_here is is_here


modes = st.sampled_from(("inclusive", "exclusive", "redirect"))
attrs = st.sets(st.sampled_from((SPEED, HEAT, LEVEL)))


@given(
    st.lists(st.tuples(modes, attrs), max_size=4).map(
        lambda made: [
            matched(str(n), mode, names or ([SPEED] if mode == "exclusive" else []))
            for n, (mode, names) in enumerate(made)
        ]
    ),
    st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_proxied_parts_and_what_is_left_are_disjoint_and_complete(
    matches: list[Match], names: set[str]
) -> None:
    """What is left here and what redirects or exclusive sources get is the document, each member once."""
    wanted = write("createEntity", *names)
    plan = plan_write(matches, wanted)
    elsewhere = [_names(part.step.doc) for part in plan.parts if part.is_proxied and part.step is not None]
    here = _names(plan.left) if plan.is_here else set()
    assert not here & set[str]().union(*elsewhere)
    assert here.union(*elsewhere) == names
    for part in plan.parts:
        assert part.step is not None
        covered = part.match.attrs
        assert covered is None or {V + name for name in _names(part.step.doc)} <= covered
        assert part.is_proxied or _names(part.step.doc) <= here


@pytest.mark.clause("4.3.6.1")
@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        (["federationOps"], "retrieveEntity"),
        (["queryEntity", "queryBatch"], "queryEntity"),
        (["queryBatch"], "queryBatch"),
        (["updateOps"], None),
    ],
)
def test_an_entity_is_read_by_what_its_source_offers(operations: list[str], expected: str | None) -> None:
    match = matched("any", attrs=[SPEED, HEAT], operations=operations)
    steps = plan_retrieve([match], "urn:v:1", frozenset((SPEED, LEVEL)), CORE)
    assert [step.operation for step in steps] == ([expected] if expected else [])
    for step in steps:
        assert step.query is not None
        assert step.query.attrs == (SPEED,)
        if step.operation != "retrieveEntity":
            assert step.query.ids == ("urn:v:1",)
            assert step.query.types == types.parse("Vehicle", str)


@pytest.mark.clause("5.6.21.4")
def test_a_purge_deletes_at_a_source_what_is_registered_and_no_more() -> None:
    query = Query(types.parse("Vehicle", str), attrs=(LEVEL,))
    [part] = plan_purge([EXCLUSIVE], Purge(query), CORE).parts
    assert part.step is not None
    assert part.step.query is not None
    assert part.step.params == {"drop": "speed"}
    assert part.step.query.ids == ("urn:v:1",)
    assert part.step.query.attrs == (LEVEL,)


@pytest.mark.parametrize(
    ("purge", "params"),
    [
        (Purge(Query()), {}),
        (Purge(Query(), drop=frozenset((HEAT, SPEED))), {"drop": "heat,speed"}),
        (Purge(Query(), keep=frozenset((HEAT,))), {"keep": "heat"}),
    ],
)
def test_a_purge_of_whole_entities_goes_on_as_it_is(purge: Purge, params: dict[str, str]) -> None:
    whole = matched("whole", entities=(SourceEntity(("Vehicle",)),))
    [part] = plan_purge([whole], purge, CORE).parts
    assert part.step is not None
    assert part.step.params == params


def test_a_purge_that_keeps_all_of_a_source_leaves_it_alone() -> None:
    assert not plan_purge([EXCLUSIVE], Purge(Query(), keep=frozenset((SPEED,))), CORE).parts
    assert not plan_purge([AUXILIARY], Purge(Query()), CORE).parts
