"""Whether a change triggers a subscription (5.8.6)."""

import pytest

from broker.core import Entity, Json
from broker.core.change import Change, written
from broker.core.entity import update
from broker.core.subscription import read
from broker.core.trigger import Trigger, trigger
from tests.core.documents import CORE, LATER, NOW, NULL, created, fragment


def to(**members: Json) -> Trigger:
    doc = {"type": "Subscription", "notification": {"endpoint": {"uri": "http://x/"}}, **members}
    return trigger(read(doc, CORE, "urn:s:1", NOW))


def fires(one: Trigger, before: Entity | None, after: Entity | None, now: str = LATER) -> bool:
    change = Change("urn:x:1", before, after, now)
    return one.fires(change, {iri for iri, _ in written(change)})


def updated(before: Entity, **attrs: Json) -> Entity | None:
    return update.update_attrs("urn:x:1", fragment(**attrs))(before, LATER).after


@pytest.mark.clause("5.8.6")
@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({"type": "T"}, True),
        ({"type": "U"}, False),
        ({"type": "*"}, True),
        ({"type": "U|T"}, True),
        ({"type": "(T;U)"}, False),
        ({"type": "T", "id": "urn:x:1"}, True),
        ({"type": "T", "id": ["urn:x:2", "urn:x:1"]}, True),
        ({"type": "T", "id": "urn:x:2"}, False),
        ({"type": "U", "id": "urn:x:1"}, False),
        ({"type": "T", "idPattern": "x:[0-9]$"}, True),
        ({"type": "T", "idPattern": "^x"}, False),
        ({"type": "T", "id": "urn:x:2", "idPattern": "x"}, False),
        ({"type": "T", "id": "urn:x:1", "idPattern": "nothing"}, True),
    ],
    ids=str,
)
def test_the_entities_selected(selector: dict[str, Json], selected: bool) -> None:
    assert fires(to(entities=[selector]), None, created(heat=1)) is selected
    assert fires(to(entities=[{"type": "Other"}, selector]), None, created(heat=1)) is selected


@pytest.mark.clause("5.8.6")
def test_watched_attributes_are_those_created_or_updated() -> None:
    one, before = to(watchedAttributes=["heat"]), created(heat=1, cold=1)
    assert fires(one, None, before)
    assert fires(one, before, updated(before, heat=2))
    assert fires(one, created(), created(heat=1))
    assert not fires(one, before, updated(before, cold=2))
    assert not fires(one, before, updated(before, heat=NULL))
    assert not fires(one, None, created(cold=1))


@pytest.mark.clause("5.8.6")
def test_without_watched_attributes_all_are_watched() -> None:
    one, before = to(entities=[{"type": "T"}]), created(heat=1, cold=1)
    assert fires(one, before, updated(before, cold=2))
    assert not fires(one, before, updated(before, cold=NULL))
    assert not fires(one, before, None)


@pytest.mark.clause("5.8.6")
def test_the_query_is_of_the_state_after_the_change() -> None:
    one = to(entities=[{"type": "T"}], q="heat>20;!cold")
    assert fires(one, created(heat=1), created(heat=21))
    assert not fires(one, created(heat=21), created(heat=1))
    assert not fires(one, None, created(heat=21, cold=1))


@pytest.mark.clause("5.8.6")
def test_nothing_fires_once_it_expired() -> None:
    one = to(entities=[{"type": "T"}], expiresAt="2026-07-01T12:00:00.5Z")
    assert fires(one, None, created(heat=1), "2026-07-01T12:00:00.499999")
    assert not fires(one, None, created(heat=1), "2026-07-01T12:00:00.500000")


def test_throttling_in_microseconds() -> None:
    assert to(watchedAttributes=["heat"], throttling=0.25).throttling == 250_000
    assert to(watchedAttributes=["heat"]).throttling == 0
