"""What is due, as it is stored: whole, compressed where it does not fit, cut where that does not."""

import random
from base64 import b64encode

import pytest
from bson import decode, encode

from broker.core import Attributes, Entity
from broker.core.delivery.entry import Entry, entry_id
from broker.store.pending.entries import apart, held, moved, reference, whole

ME = "a" * 16
MIB = 1024**2


def text(size: int, *, is_dense: bool) -> str:
    """Characters: what is dense can be compressed to three quarters of it and no further."""
    return b64encode(random.Random(size).randbytes(size * 3 // 4)).decode() if is_dense else "x" * size


def values(size: int, *, is_dense: bool) -> Attributes:
    return {"https://a.b/c": [{"type": "Property", "value": text(size, is_dense=is_dense)}]}


def entry(now: Attributes, before: Attributes | None = None) -> Entry:
    entity: Entity = {"id": "urn:x:1", "type": ["T"], "attrs": now}
    return Entry(f"{7:016x}{ME}", "", "urn:x:1", 7, 8, ME, {"urn:s:1", "urn:s:2"}, entity, before)


def again(one: Entry) -> Entry:
    """The entry, stored in the outbox and read back."""
    raw = apart(one).raw
    assert len(raw) <= 16 * MIB
    return whole(decode(raw), "", one.entity_id)


def attrs_of(one: Entry) -> Attributes:
    assert one.entity is not None
    attrs: Attributes = one.entity["attrs"]
    return attrs


@pytest.mark.parametrize("size", [10, 7 * MIB, 15 * MIB, 16 * MIB - 200])
def test_what_can_be_compressed_is_kept_whole(size: int) -> None:
    one = entry(values(size, is_dense=False), values(size - 1, is_dense=False))
    back = again(one)
    assert (back.entity, back.previous, back.cut) == (one.entity, one.previous, "")
    assert (back.subscriptions, back.rev, back.at, back.by) == ({"urn:s:1", "urn:s:2"}, 7, 8, ME)


@pytest.mark.parametrize("size", [12 * MIB, 16 * MIB - 200])
def test_what_was_before_is_left_out_where_both_do_not_fit(size: int) -> None:
    now = values(size, is_dense=True)
    one = entry(now, values(size - 8, is_dense=True))
    back = again(one)
    assert (attrs_of(back), back.previous) == (now, None)
    assert back.cut.startswith("the previous values")
    assert (one.previous, one.cut) == (None, back.cut), "what is delivered from memory is the same"


def test_an_entity_that_does_not_fit_at_all_is_told_of_without_its_attributes() -> None:
    """No entity is so large; but nobody's writes fail because of what is to be told."""
    one = entry(values(24 * MIB, is_dense=True), values(10, is_dense=True))
    back = again(one)
    assert (back.entity, back.previous) == ({"id": "urn:x:1", "type": ["T"], "attrs": {}}, None)
    assert back.cut.startswith("the attributes")


def test_a_report_is_what_it_was() -> None:
    about: Entity = {"id": "urn:s:1", "type": [], "attrs": {}}
    report = Entry(f"{7:016x}{ME}", "", "urn:s:1", 7, 8, ME, {"urn:s:1"}, about, is_report=True)
    back = again(report)
    assert (back.is_report, back.entity, back.cut) == (True, about, "")
    assert back == report


def test_in_a_document_and_moved_out_of_it_an_entry_is_the_same() -> None:
    one = entry(values(10, is_dense=False), {"a.b$": [{"type": "JsonProperty", "json": {"a.b": {"$x": 2}}}]})
    in_document = decode(encode({"o": [held(one)]}))["o"][0]
    in_outbox = decode(encode(moved(in_document, one.entity_id)))
    assert in_outbox["e"] == one.entity_id
    for form in (in_document, in_outbox):
        known = reference(form, "", one.entity_id)
        assert (known.id, known.rev, known.at, known.by, known.subscriptions) == (
            one.id,
            7,
            8,
            ME,
            one.subscriptions,
        )
        assert (known.entity, known.previous) == (None, None)
        assert whole(form, "", one.entity_id) == one


def test_ids_of_one_entity_are_in_the_order_of_its_revisions_and_two_processes_never_share_one() -> None:
    """Whatever the clocks say: a revision that is ahead of the time may be given by two at once."""
    stamps = [(5, 300), (6, 1), (99, 2), (100, 17)]
    ids = [entry_id(*stamp, ME) for stamp in stamps]
    assert ids == sorted(ids)
    assert all(one.endswith(ME) for one in ids)
    assert len({entry_id(*stamp, who) for stamp in (*stamps, (99, 3)) for who in (ME, "b" * 16)}) == 10
