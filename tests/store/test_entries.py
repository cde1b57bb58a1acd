"""What is due, as it is stored: whole, compressed where it does not fit, cut where that does not."""

import random
from base64 import b64encode

import pytest
from broker.store.entries import restored, stored
from bson import decode

from broker.core import Attributes, Entity
from broker.ports.changes import Entry

ME = "a" * 16
MIB = 1024**2


def text(size: int, *, is_dense: bool) -> str:
    """Characters: what is dense can be compressed to three quarters of it and no further."""
    return b64encode(random.Random(size).randbytes(size * 3 // 4)).decode() if is_dense else "x" * size


def values(size: int, *, is_dense: bool) -> Attributes:
    return {"https://a.b/c": [{"type": "Property", "value": text(size, is_dense=is_dense)}]}


def entry(now: Attributes, before: Attributes | None = None) -> Entry:
    entity: Entity = {"id": "urn:x:1", "type": ["T"], "attrs": now}
    return Entry(f"{7:016x}{ME}", "", 7, entity, {"urn:s:1", "urn:s:2"}, previous=before)


def again(one: Entry) -> Entry:
    """The entry, stored and read back."""
    raw = stored(one, ME).raw
    assert len(raw) <= 16 * MIB
    return restored(decode(raw), "", ME)


@pytest.mark.parametrize("size", [10, 7 * MIB, 15 * MIB, 16 * MIB - 200])
def test_what_can_be_compressed_is_kept_whole(size: int) -> None:
    one = entry(values(size, is_dense=False), values(size - 1, is_dense=False))
    back = again(one)
    assert (back.entity, back.previous, back.cut) == (one.entity, one.previous, "")
    assert (back.due, back.stamp, back.foreign) == ({"urn:s:1", "urn:s:2"}, 7, False)


@pytest.mark.parametrize("size", [12 * MIB, 16 * MIB - 200])
def test_what_was_before_is_left_out_where_both_do_not_fit(size: int) -> None:
    now = values(size, is_dense=True)
    one = entry(now, values(size - 8, is_dense=True))
    back = again(one)
    assert (back.entity["attrs"], back.previous) == (now, None)
    assert back.cut.startswith("what was before")
    assert (one.previous, one.cut) == (None, back.cut), "what is delivered from memory is the same"


def test_an_entity_that_does_not_fit_at_all_is_told_of_without_its_attributes() -> None:
    """No entity is so large; but nobody's writes fail because of what is to be told."""
    one = entry(values(24 * MIB, is_dense=True), values(10, is_dense=True))
    back = again(one)
    assert (back.entity, back.previous) == ({"id": "urn:x:1", "type": ["T"], "attrs": {}}, None)
    assert back.cut.startswith("the attributes")


def test_a_report_is_what_it_was() -> None:
    about: Entity = {"id": "urn:s:1", "type": [], "attrs": {}}
    back = again(Entry(f"{7:016x}{ME}", "", 7, about, {"urn:s:1"}, is_report=True))
    assert (back.is_report, back.entity, back.cut) == (True, about, "")


@pytest.mark.parametrize(("is_dense", "missing"), [(False, ""), (True, "what was before")])
def test_what_throttling_suppressed_is_compressed_and_cut_as_well(*, is_dense: bool, missing: str) -> None:
    now, before = values(6 * MIB, is_dense=is_dense), values(7 * MIB, is_dense=is_dense)
    about: Entity = {"id": "urn:s:1", "type": [], "attrs": {}}
    entities: list[Entity] = [{"id": f"urn:x:{n}", "type": ["T"], "attrs": now} for n in range(2)]
    states = [(one, before) for one in entities]
    back = again(Entry(f"{7:016x}{ME}", "", 7, about, {"urn:s:1"}, suppressed=states))
    assert back.entity == about
    assert back.suppressed == ([(one, None) for one in entities] if missing else states)
    assert back.cut.partition(":")[0] == missing
