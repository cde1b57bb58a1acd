"""What one commit writes, worked out from what it read: pure but for the clock and the sink it is given."""

from dataclasses import dataclass, field
from typing import Any

from broker.clock import Clock, Stamp
from broker.core import Entity, Instance, instant
from broker.core.change import Change, previous, removed, told, written
from broker.core.entity import expiry
from broker.core.errors import NgsiLdError
from broker.core.temporal.recording import Recording
from broker.core.temporal.revision import Revision
from broker.ports.changes import ChangeSink, Due, Entry
from broker.ports.entities import Undecodable
from broker.store import codec
from broker.store.entries import entry_id
from broker.store.history.listing import listed
from broker.store.history.records import of_entity, records
from broker.store.query.places import is_spatial
from broker.store.queue import Write
from broker.store.tenants import EPOCH, epoch_of

Document = dict[str, Any]
_MANY = 100  # attributes from which on what is done for each of them takes another way


@dataclass(slots=True)
class Stored:
    """An entity as it stands, and when something of it expires in the database.

    `by` is the process that was the last to have something to tell of it: another one has to ask whether
    that is told yet. A write that is due to nobody leaves it alone. `unlisted`: the catalogue of evolutions
    does not have all of its attributes. `fault`: why it cannot be read, which fails every write to it.
    """

    entity: Entity | None = None
    rev: int = 0
    by: str = ""
    due: str | None = None
    unlisted: bool = False
    fault: Undecodable | None = None


@dataclass(slots=True)
class Plan:
    """What one commit writes, and what to answer to each write once it is through.

    `inserts`, `updates` and `deletes` are of entities; updates are {q: filter, u: update, upsert}.
    Revisions take evolutions with the updates in `taken`, buckets by the keys in `opened`, of which `spilled`
    and `repacked` are left, and instances with those in `rewritten` and by the keys in `taken_out`; all of
    these have to find what they are for. What is in `forgotten`, and by filters in `erased` (history),
    `dropped` (buckets) and `strayed`, goes before anything else is written. `suppressed_until`: when (µs) the
    first of the states that throttling suppressed is due.
    """

    inserts: list[Document] = field(default_factory=list)
    updates: list[Document] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    taken: list[Document] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    evolutions: list[Document] = field(default_factory=list)
    opened: list[Document] = field(default_factory=list)
    spilled: list[Document] = field(default_factory=list)
    repacked: list[Document] = field(default_factory=list)
    dropped: list[Document] = field(default_factory=list)
    erased: list[Document] = field(default_factory=list)
    taken_out: list[Document] = field(default_factory=list)
    rewritten: list[Document] = field(default_factory=list)
    strayed: list[Document] = field(default_factory=list)
    moved: list[Document] = field(default_factory=list)
    history: list[Document] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    dues: list[tuple[Entry, Due]] = field(default_factory=list)
    conditions: list[tuple[Entry, Due, Entity]] = field(default_factory=list)
    outcomes: list[Any] = field(default_factory=list)
    suppressed_until: int | None = None

    def forget(self, entity_id: str) -> None:
        """An evolution goes, with what was to be recorded of it up to now."""
        self.history = [one for one in self.history if one["_id"]["e"] != entity_id]
        self.evolutions = [one for one in self.evolutions if one["q"]["_id"] != entity_id]
        self.forgotten.append(entity_id)
        for filters in (self.erased, self.dropped, self.strayed):
            filters.append({"_id": of_entity(entity_id)})


def read(documents: list[Document]) -> tuple[tuple[int, str], dict[str, Stored]]:
    """The tenant's epoch with its mark, and the entities found, by id, as they are in the database."""
    epoch, found = (0, ""), {}
    for document in documents:
        if document["_id"] == EPOCH:
            epoch = epoch_of(document)
        else:
            entity_id = document["_id"]
            found[entity_id] = _read(entity_id, document)
    return epoch, found


def _read(entity_id: str, document: Document) -> Stored:
    try:
        rev, by, due = document["rev"], document["by"], document.get("due")
        unlisted = "unlisted" in document
        return Stored(codec.decode_entity(document), rev, by, due, unlisted)
    except Exception as error:  # whatever it is, it is about this entity alone
        fault = error if isinstance(error, Undecodable) else Undecodable(entity_id)
        return Stored(fault=fault)


def work_out(
    writes: list[Write],
    found: dict[str, Stored],
    sink: ChangeSink,
    clock: Clock,
    process: str,
    recording: Recording,
) -> Plan:
    """Applies each write's rule in order. A write whose rule fails, fails alone."""
    plan = Plan()
    now: dict[str, Stored] = {}
    for write in writes:
        old = found.get(write.entity_id) or found.setdefault(write.entity_id, Stored())
        if old.fault is not None:
            plan.outcomes.append(old.fault)
            continue
        state = now.get(write.entity_id)
        if state is None:
            state = now[write.entity_id] = _standing(old, clock)
        try:
            plan.outcomes.append(_apply(write, state, clock, sink, plan, process, recording))
        except Exception as error:  # the requester's mistake, or a fault of ours: the others go on
            plan.outcomes.append(error if isinstance(error, NgsiLdError) else _fault(error))
    for entity_id, state in now.items():
        _store(plan, entity_id, found[entity_id], state)
    return plan


def _standing(stored: Stored, clock: Clock) -> Stored:
    """The entity without what has expired by now (4.22), which rules take for gone."""
    entity = stored.entity
    if entity is not None and stored.due is not None and stored.due <= (now := clock.expiring()):
        entity = expiry.alive(entity, now)
    return Stored(entity, stored.rev, stored.by, unlisted=stored.unlisted)


def _fault(error: Exception) -> Exception:
    error.add_note("while a rule was applied to an entity")
    return error


def _apply(
    write: Write,
    state: Stored,
    clock: Clock,
    sink: ChangeSink,
    plan: Plan,
    process: str,
    recording: Recording,
) -> Any:
    stamp = clock.stamp(state.rev)
    change_now = instant.of_micros(stamp.now)
    assert not isinstance(write.rule, Revision), "revisions are worked out elsewhere"
    outcome = write.rule(state.entity, change_now)
    if outcome.after is state.entity:
        return outcome.answer
    change = Change(write.entity_id, state.entity, outcome.after, change_now)
    gone = list(removed(change))
    by = state.by
    if dues := sink.due(write.tenant, change):
        entry = Entry(
            entry_id(stamp, process), write.tenant, stamp.rev,
            told(change) if gone or outcome.after is None else change.entity,
            {due.subscription for due in dues}, time=clock.server(), foreign=by != process,
            previous=(previous(change) or None) if any(due.shows_changes for due in dues) else None,
        )  # fmt: skip
        if not all(due.throttling or due.condition for due in dues):  # else it may be that nothing is left
            by = process
        plan.entries.append(entry)
        plan.dues.extend((entry, due) for due in dues)
        plan.conditions.extend((entry, due, change.entity) for due in dues if due.condition)
    _record(plan, change, gone, stamp, state, recording)
    state.entity, state.rev, state.by = outcome.after, stamp.rev, by
    return outcome.answer


def _record(
    plan: Plan,
    change: Change,
    gone: list[tuple[str, Instance]],
    stamp: Stamp,
    state: Stored,
    recording: Recording,
) -> None:
    """Adds the history of a change, in which the instances in `gone` were deleted."""
    if not recording.covers(change):
        state.unlisted = True
    elif recording.forgets and change.after is None:
        plan.forget(change.id)
    else:
        plan.history.extend(records(change, stamp, list(written(change)), gone))
        if (listing := listed(change, state.unlisted)) is not None:
            plan.evolutions.append(listing)
        state.unlisted = False


def _store(plan: Plan, entity_id: str, stored: Stored, state: Stored) -> None:
    """Adds the one operation that takes the stored entity to its state after all writes."""
    before, after = stored.entity, state.entity
    if after is before:
        return
    if after is None:
        plan.deletes.append(entity_id)
        return
    own: Document = {"rev": state.rev, "by": state.by}
    if due := expiry.earliest(after):
        own["due"] = due
    if state.unlisted:
        own["unlisted"] = True
    if before is None:
        plan.inserts.append(_whole(after, own))
    elif _differs_much(before, after):
        plan.updates.append({"q": {"_id": entity_id}, "u": _whole(after, own)})
    else:
        changed, gone = _difference(before, after)
        gone += [name for name in ("due", "unlisted") if getattr(stored, name) and name not in own]
        update = {"$set": {**changed, **own}}
        if gone:
            update["$unset"] = dict.fromkeys(gone, 1)
        plan.updates.append({"q": {"_id": entity_id}, "u": update})


def _whole(entity: Entity, own: Document) -> Document:
    extra = codec.encode_places(entity["attrs"]) | {"shape": codec.shape(entity)}
    return {**codec.encode_entity(entity), **extra, **own}


def _differs_much(before: Entity, after: Entity) -> bool:
    """Whether so many attributes differ that the document is better replaced.

    For each that is set, the database looks through all that there are.
    """
    old, new = before["attrs"], after["attrs"]
    if len(old) <= _MANY and len(new) <= _MANY:
        return False
    return sum(old.get(iri) is not its for iri, its in new.items()) + len(old.keys() - new.keys()) > _MANY


def _difference(before: Entity, after: Entity) -> tuple[Document, list[str]]:
    """What differs, by stored path: rules share what they leave alone, so identity tells.

    The shape is looked at anew when the types, the attributes or the kinds of an attribute differ.
    """
    changed = {k: v for k, v in after.items() if k not in ("attrs", "id") and before.get(k) is not v}
    gone = [k for k in before if k not in after]
    old, new = before["attrs"], after["attrs"]
    differ = [iri for iri, instances in new.items() if old.get(iri) is not instances]
    lost = [iri for iri in old if iri not in new]
    for iri in differ:
        changed["attrs." + codec.key(iri)] = [codec.encode_instance(one) for one in new[iri]]
    gone += ["attrs." + codec.key(iri) for iri in lost]
    if "type" in changed or lost or any(_is_reshaped(old.get(iri), new[iri]) for iri in differ):
        changed["shape"] = codec.shape(after)
    if any(is_spatial(one) for iri in (*differ, *lost) for attrs in (old, new) for one in attrs.get(iri, ())):
        placed = codec.encode_places(new)
        changed |= placed
        gone += [member for member in codec.PLACES if member not in placed]
    return changed, gone


def _is_reshaped(old: list[Instance] | None, new: list[Instance]) -> bool:
    return old is None or codec.kinds(old) != codec.kinds(new)
