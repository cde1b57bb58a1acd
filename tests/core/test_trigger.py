"""Whether a change triggers a subscription (5.8.6)."""

import pytest

from broker.core import Entity, Json
from broker.core.change import Change, events
from broker.core.entity import update
from broker.core.subscription import read
from broker.core.trigger import EVENTS, Trigger, trigger
from tests.core.documents import CORE, LATER, NOW, NULL, created, fragment


def to(**members: Json) -> Trigger:
    doc = {"type": "Subscription", "notification": {"endpoint": {"uri": "http://x/"}}, **members}
    return trigger(read(doc, CORE, "urn:s:1", NOW))


def fires(one: Trigger, before: Entity | None, after: Entity | None, now: str = LATER) -> bool:
    change = Change("urn:x:1", before, after, now)
    return one.fires(change, events(change))


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


CREATION = (None, created(heat=1, cold=1))
DELETION = (created(heat=1, cold=1), None)
TWO = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize(
    ("change", "triggers"),
    [
        (CREATION, {"entityCreated", "attributeCreated", "entityUpdated"}),
        (DELETION, {"entityDeleted", "attributeDeleted", "entityUpdated"}),
        ((None, created()), {"entityCreated"}),
        ((created(), None), {"entityDeleted"}),
        ((created(cold=1), created(cold=1)), set()),
        ((created(), created(heat=1)), {"attributeCreated", "entityUpdated"}),
        ((created(heat=1), created(heat=2)), {"attributeUpdated", "entityUpdated"}),
        ((created(heat=1), created()), {"attributeDeleted", "entityUpdated"}),
        ((created(heat=1), created(heat=TWO)), {"attributeCreated", "entityUpdated"}),
        ((created(heat=TWO), created(heat=1)), {"attributeDeleted", "entityUpdated"}),
        ((created(heat=1), created(cold=1)), {"attributeCreated", "attributeDeleted", "entityUpdated"}),
    ],
)
def test_what_triggers(change: tuple[Entity | None, Entity | None], triggers: set[str]) -> None:
    for one in EVENTS:
        to_all = to(entities=[{"type": "T"}], notificationTrigger=[one])
        assert fires(to_all, *change) is (one in triggers), one
    by_default = bool({"attributeCreated", "attributeUpdated"} & triggers)
    assert fires(to(entities=[{"type": "T"}]), *change) is by_default


@pytest.mark.clause("5.2.12")
def test_triggers_are_of_watched_attributes() -> None:
    for one in ("entityCreated", "attributeCreated"):
        assert fires(to(watchedAttributes=["heat"], notificationTrigger=[one]), *CREATION)
        assert not fires(to(watchedAttributes=["other"], notificationTrigger=[one]), *CREATION)
    for one in ("entityDeleted", "attributeDeleted"):
        assert fires(to(watchedAttributes=["heat"], notificationTrigger=[one]), *DELETION)
        assert not fires(to(watchedAttributes=["other"], notificationTrigger=[one]), *DELETION)
    both = to(watchedAttributes=["heat"], notificationTrigger=["attributeDeleted", "attributeCreated"])
    assert fires(both, created(heat=1), created())
    assert not fires(both, created(heat=1), created(heat=2))
    assert not fires(both, created(heat=1, cold=1), created(heat=1))


@pytest.mark.clause("5.2.12")
def test_only_the_instances_of_its_datasets_count() -> None:
    of_one = to(entities=[{"type": "T"}], datasetId=["urn:d:1"])
    of_none = to(watchedAttributes=["heat"], datasetId=["@none"])
    other = [{"value": 1}, {"value": 3, "datasetId": "urn:d:1"}]
    default = [{"value": 9}, {"value": 2, "datasetId": "urn:d:1"}]
    for after, one, none in ((other, True, False), (default, False, True), (TWO, False, False)):
        before = created(heat=TWO)
        assert fires(of_one, before, updated(before, heat=after)) is one
        assert fires(of_none, before, updated(before, heat=after)) is none
    assert not fires(of_one, None, created(heat=1))
    assert fires(of_one, None, created(cold=1, heat=TWO))
    is_made = to(entities=[{"type": "T"}], datasetId=["urn:d:1"], notificationTrigger=["entityCreated"])
    assert fires(is_made, None, created(heat=1)), "that it was made is to be told"


@pytest.mark.clause("5.8.6")
def test_a_deleted_entity_is_selected_as_it_was() -> None:
    one = to(entities=[{"type": "T"}], q="heat>20", notificationTrigger=["entityDeleted"])
    assert fires(one, created(heat=21), None)
    assert not fires(one, created(heat=20), None)


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


POINT = {"type": "Point", "coordinates": [2.0, 48.0]}
NEAR = {"georel": "near;maxDistance==1000", "geometry": "Point", "coordinates": [2.0, 48.0]}


@pytest.mark.clause("5.8.6")
@pytest.mark.parametrize(
    ("members", "is_due"),
    [
        ({"scopeQ": "/a/#"}, True),
        ({"scopeQ": "/b"}, False),
        ({"geoQ": NEAR}, True),
        ({"geoQ": {**NEAR, "coordinates": "[2.0, 48.0]"}}, True),
        ({"geoQ": {**NEAR, "coordinates": [3.0, 48.0]}}, False),
        ({"geoQ": {**NEAR, "geoproperty": "place"}}, False),
        ({"scopeQ": "/a/b", "geoQ": NEAR, "q": "heat==1"}, True),
        ({"q": 'kind=="warm"'}, False),
        ({"q": 'kind=="warm"', "expandValues": "kind"}, True),
        ({"q": 'kind=="warm"', "expandValues": "kind", "jsonKeys": "kind"}, False),
    ],
)
def test_scopes_places_and_expanded_values(members: dict[str, Json], is_due: bool) -> None:
    location = {"type": "GeoProperty", "value": POINT}
    entity = {**created(heat=1, location=location, kind={"vocab": "warm"}), "scope": ["/a/b"]}
    assert fires(to(entities=[{"type": "T"}], **members), None, entity) is is_due


@pytest.mark.clause("4.9")
def test_conditions_on_linked_entities_are_left_to_who_can_read_them() -> None:
    one = to(entities=[{"type": "T"}], q="to{heat}>20")
    assert one.condition == one.q
    assert fires(one, None, created(heat=1))
    assert to(entities=[{"type": "T"}], q="heat>20").condition is None
