"""When periodic subscriptions are due."""

from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.subscription import read
from broker.core.time_interval import interval, next_due, selections
from tests.core.documents import CORE, NOW


def periodic(**members: Json) -> Json:
    return {
        "type": "Subscription",
        "entities": [{"type": "T"}],
        "timeInterval": 10,
        "notification": {"endpoint": {"uri": "http://x/"}},
        **members,
    }


def test_an_interval_is_in_microseconds() -> None:
    assert interval(read(periodic(timeInterval=1.5), CORE, "urn:s:1", NOW)) == 1_500_000


def test_who_has_no_times() -> None:
    assert interval(None) == 0
    assert interval(read(periodic(isActive=False), CORE, "urn:s:1", NOW)) == 0
    doc = periodic()
    del doc["timeInterval"]
    assert interval(read(doc, CORE, "urn:s:1", NOW)) == 0


@given(due=st.integers(0, 10**9), every=st.integers(1, 10**6), late=st.integers(0, 10**8))
def test_the_next_time_is_the_first_of_the_grid_that_is_still_to_come(
    due: int, every: int, late: int
) -> None:
    found = next_due(due, every, due + late)
    assert (found - due) % every == 0
    assert due + late < found <= due + late + every


def test_each_selector_is_looked_for_by_itself() -> None:
    entities = [{"type": "T", "id": "urn:x:1"}, {"type": "A|B", "idPattern": "^urn"}]
    first, second = selections(read(periodic(entities=entities, q="n>1"), CORE, "urn:s:1", NOW))
    assert (first.ids, second.ids) == (("urn:x:1",), ())
    assert first.types != second.types
    assert first.q == second.q is not None
