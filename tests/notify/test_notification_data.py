"""DataRenderings: one for all who are told the same, of the entries that were rendered last."""

from broker.core.jsonld.context import Context
from broker.core.notification import Content, Rendering, Subscriber, subscriber
from broker.notify import notification_data as module
from broker.notify.notification_data import DataRenderings
from broker.ports.changes import Entry
from tests.core.documents import CORE, EX
from tests.notify.some import entry, subscription

A, B = (subscriber(subscription(one)) for one in "ab")


def of(one: DataRenderings, change: Entry, to: Subscriber, context: Context = CORE) -> Rendering:
    assert change.entity is not None
    return one.of(change, to, Content([change.entity]), context)


def test_those_who_are_told_the_same_share_it() -> None:
    shared, change = DataRenderings(), entry(1, due=("a", "b"))
    first = of(shared, change, A)
    assert of(shared, change, B) is first
    assert b'"n"' in first.data


def test_whoever_is_told_something_else_has_a_rendering_of_its_own() -> None:
    shared, change = DataRenderings(), entry(1, due=("a", "b"))
    first = of(shared, change, A)
    plain = {"endpoint": {"uri": "http://x/"}, "format": "simplified"}
    simplified = subscriber(subscription("c", notification=plain))
    assert of(shared, change, simplified).data != first.data
    assert of(shared, change, A, EX) is not first
    assert of(shared, entry(2, due=("a", "b")), A).data != first.data


def test_only_so_many_bytes_are_kept() -> None:
    first, second = entry(1, due=("a", "b")), entry(2, due=("a", "b"))
    shared = DataRenderings(len(of(DataRenderings(), first, A).data))
    kept = of(shared, first, A)
    assert of(shared, first, B) is kept
    of(shared, second, A)
    assert of(shared, first, B) is not kept
    assert module._LIMIT > shared._limit >= shared._size


def test_what_is_due_to_one_alone_is_not_kept() -> None:
    shared, change = DataRenderings(), entry(1)
    of(shared, change, A)
    assert shared._kept == {}
