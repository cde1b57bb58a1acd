"""The index of subscriptions: it finds what a change is due to, and looks at little else."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Entity, Json
from broker.core.change import Change, events
from broker.core.subscription import Subscription
from broker.core.trigger import EVENTS, trigger
from broker.notify import bucket
from broker.notify.index import Index
from broker.ports.changes import SubscriptionChanges
from tests.core.documents import CORE, LATER, NOW, few
from tests.notify.some import subscription


def selective(n: int) -> list[Subscription]:
    """Subscriptions to one type, each of which wants something else."""
    of_type = [{"type": "T"}]
    return [
        subscription(f"e{n}", entities=of_type, q=f"n=={n}"),
        subscription(f"t{n}", entities=of_type, q=f'heat=="room {n}"'),
        subscription(f"r{n}", entities=of_type, q=f"n>{n};n<{n + 2}"),
        subscription(f"p{n}", entities=[{"type": "T", "idPattern": f"^urn:x:room-{n:05}$"}]),
        subscription(f"a{n}", entities=[{"type": "*", "idPattern": f"room-{n:05}.*"}]),
    ]


def test_of_ten_thousand_to_one_type_only_those_that_could_fire_are_looked_at() -> None:
    index = index_of(*(one for n in range(2000) for one in selective(n)))
    change = creation(state("room-00500", n=500, heat="room 500"))
    candidates = index._candidates(change.entity, events(change).attrs)
    assert len(candidates) < 25, "the few of each bucket, and those"
    assert due(index, change) == ["a500", "e500", "p500", "r499", "t500"]
    index.update(SubscriptionChanges(2, (), [f"urn:s:{kind}500" for kind in "etpa"]))
    assert due(index, change) == ["r499"]
    index.update(SubscriptionChanges(3, (), [f"urn:s:{kind}{n}" for kind in "etpar" for n in range(2000)]))
    assert not index._triggers


ATTRS = ("n", "heat", "https://ex.org/a.b")
TYPES = ("T", "U", "https://ex.org/V")


def index_of(*subscriptions: Subscription) -> Index:
    index = Index()
    index.update(SubscriptionChanges(1, subscriptions, whole=True))
    return index


def state(name: str = "1", types: tuple[str, ...] = ("T",), **values: Json) -> Entity:
    """An entity with Properties of these values, as it is stored."""
    attrs = {
        CORE.expand(k): [{"type": "Property", "value": v, "createdAt": NOW, "modifiedAt": NOW}]
        for k, v in values.items()
    }
    kinds = [CORE.expand(one) for one in types]
    return {"id": f"urn:x:{name}", "type": kinds, "createdAt": NOW, "modifiedAt": NOW, "attrs": attrs}


def creation(entity: Entity) -> Change:
    return Change(entity["id"], None, entity, LATER)


def due(index: Index, change: Change) -> list[str]:
    return sorted(one.subscription.removeprefix("urn:s:") for one in index.triggered(change))


@pytest.mark.clause("5.8.6")
@pytest.mark.parametrize(
    ("members", "is_due"),
    [
        ({"entities": [{"type": "T", "id": "urn:x:1"}]}, True),
        ({"entities": [{"type": "T", "id": ["urn:x:2", "urn:x:1"]}]}, True),
        ({"entities": [{"type": "T", "id": "urn:x:2"}]}, False),
        ({"entities": [{"type": "U", "id": "urn:x:1"}]}, False),
        ({"entities": [{"type": "T"}]}, True),
        ({"entities": [{"type": "U"}]}, False),
        ({"entities": [{"type": "U"}, {"type": "T"}]}, True),
        ({"entities": [{"type": "*"}]}, True),
        ({"entities": [{"type": "*", "idPattern": "x:1$"}]}, True),
        ({"entities": [{"type": "T", "idPattern": "x:2"}]}, False),
        ({"watchedAttributes": ["n"]}, True),
        ({"watchedAttributes": ["heat"]}, False),
        ({"watchedAttributes": ["heat", "n"]}, True),
        ({"entities": [{"type": "T"}], "watchedAttributes": ["n"]}, True),
        ({"entities": [{"type": "T"}], "watchedAttributes": ["heat"]}, False),
        ({"entities": [{"type": "T", "id": "urn:x:1"}], "watchedAttributes": ["heat"]}, False),
        ({"entities": [{"type": "T"}], "q": "n>1"}, False),
        ({"entities": [{"type": "T"}], "isActive": False}, False),
    ],
    ids=str,
)
def test_what_a_change_is_due_to(members: dict[str, Json], is_due: bool) -> None:
    assert due(index_of(subscription("a", **members)), creation(state(n=1))) == ["a"] * is_due


def test_an_entity_of_several_types_finds_a_subscription_once() -> None:
    index = index_of(subscription("a", entities=[{"type": "T"}, {"type": "U"}, {"type": "*"}]))
    assert due(index, creation(state(types=("T", "U"), n=1, heat=2))) == ["a"]


def test_subscriptions_come_change_and_go() -> None:
    index = index_of(subscription("a", entities=[{"type": "T"}]), subscription("b", entities=[{"type": "T"}]))
    changed = subscription("a", entities=[{"type": "U"}])
    index.update(SubscriptionChanges(2, [changed], ["urn:s:b"]))
    assert due(index, creation(state(n=1))) == []
    assert due(index, creation(state(types=("U",), n=1))) == ["a"]
    assert list(index.subscribers) == ["urn:s:a"]
    index.update(SubscriptionChanges(3, [], whole=True))
    assert index.subscribers == {}
    assert not index._triggers, "something of a subscription stays behind"
    assert not index._keys
    assert index.epoch == 3


def test_a_subscription_that_is_not_understood_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = subscription("a"), subscription("b", q="n>0")
    bad.names.clear()  # as if another version had stored it
    index = index_of(bad, good)
    assert due(index, creation(state(n=1))) == ["a"]
    assert "cannot be compiled" in caplog.text
    index.update(SubscriptionChanges(2, [], ["urn:s:b"]))
    assert list(index.subscribers) == ["urn:s:a"]


def test_ten_thousand_that_do_not_match_are_not_looked_at() -> None:
    many = [subscription(str(n), entities=[{"type": f"Other{n}"}]) for n in range(100)]
    many += [subscription(f"i{n}", entities=[{"type": "T", "id": f"urn:y:{n}"}]) for n in range(100)]
    many += [subscription(f"w{n}", entities=[{"type": "T"}], watchedAttributes=[f"a{n}"]) for n in range(100)]
    index = index_of(*many, subscription("a", entities=[{"type": "T"}], watchedAttributes=["n"]))
    change = creation(state(n=1))
    assert list(index._candidates(change.entity, events(change).attrs)) == ["urn:s:a"]


QUERIES = [
    "n==1", "heat", "n>0|heat>0", "n==1,2", "n==1..2", "n>0;n<2", "n>=1;n<=1", "n<0", 'n=="a"',
    'n=="a","b"', "n==true", "n!=1", "!heat", 'n=="a";heat>0', "n.heat==1", "n[x]==1", 'n~="a"',
    "n>1;heat==2", "n==2026-07-01",
]  # fmt: skip
values = st.integers(-1, 3) | st.sampled_from(["a", "b", True, 0.5, "2026-07-01", {"x": 1}])
ids = st.sampled_from(["urn:x:1", "urn:x:2", "urn:y:3"])
selectors = st.fixed_dictionaries(
    {"type": st.sampled_from([*TYPES, "*", "T|U", "(T;U)", "T,https://ex.org/V"])},
    optional={
        "id": ids | st.lists(ids, min_size=1, max_size=2),
        "idPattern": st.sampled_from(
            ["x", "1$", "^urn:y", "nothing", ":[12]$", "x?:1", "urn:(x|y)", "^urn:x:1$"]
        ),
    },
)
members = st.fixed_dictionaries(
    {},
    optional={
        "entities": st.lists(selectors, min_size=1, max_size=3),
        "watchedAttributes": st.lists(st.sampled_from(ATTRS), min_size=1, max_size=2, unique=True),
        "q": st.sampled_from(QUERIES),
        "notificationTrigger": st.lists(st.sampled_from(sorted(EVENTS)), min_size=1, max_size=2),
        "isActive": st.booleans(),
    },
)
entities = st.builds(
    lambda name, types, values: {**state("", tuple(types), **values), "id": name},
    ids,
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=2, unique=True),
    st.dictionaries(st.sampled_from(ATTRS), values | st.lists(values, max_size=2)),
)


def _changed(before: Entity | None, after: Entity | None) -> Change:
    entity = after or before
    assert entity is not None
    if before is not None:
        before = {**before, "id": entity["id"]}
    return Change(entity["id"], before, after, LATER)


@pytest.mark.parametrize("at_once", [0, 16])
@few
@given(
    rounds=st.lists(st.lists(members, max_size=8), min_size=1, max_size=3),
    states=st.lists(
        st.tuples(st.none() | entities, st.none() | entities).filter(any), min_size=1, max_size=5
    ),
    data=st.data(),
)
def test_it_finds_exactly_those_that_fire(
    rounds: list[list[dict[str, Any]]],
    states: list[tuple[Entity | None, Entity | None]],
    data: st.DataObject,
    at_once: int,
) -> None:
    """Whatever is put in, changed and taken out: `due` is what asking every trigger would give."""
    with patch.object(bucket, "_FEW", at_once), patch.object(bucket, "_CROWD", data.draw(st.integers(0, 2))):
        _compare(rounds, states, data)


def _compare(
    rounds: list[list[dict[str, Any]]],
    states: list[tuple[Entity | None, Entity | None]],
    data: st.DataObject,
) -> None:
    index, known = Index(), dict[str, Subscription]()
    for epoch, round_ in enumerate(rounds):
        changed = [subscription(str(n), **one) for n, one in enumerate(round_)]
        gone = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
        gone = [one for one in gone if one not in {new.id for new in changed}]
        index.update(SubscriptionChanges(epoch, changed, gone))
        known = {k: v for k, v in known.items() if k not in gone} | {one.id: one for one in changed}
        for before, after in states:
            change = _changed(before, after)
            happened = events(change)
            brute = {
                k
                for k, one in known.items()
                if one.body.is_active is not False and trigger(one).fires(change, happened)
            }
            assert {one.subscription for one in index.triggered(change)} == brute
