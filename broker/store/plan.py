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
from broker.store import codec
from broker.store.entries import entry_id
from broker.store.history.records import of_entity, records
from broker.store.query.places import is_spatial
from broker.store.queue import Write
from broker.store.tenants import EPOCH

Document = dict[str, Any]


@dataclass(slots=True)
class Stored:
    """An entity as it stands, and when something of it expires in the database.

    `by` is the process that was the last to have something to tell of it: another one has to ask whether
    that is told yet. A write that is due to nobody leaves it alone. `unlisted`: the catalogue of evolutions
    does not have all of its attributes.
    """

    entity: Entity | None = None
    rev: int = 0
    by: str = ""
    due: str | None = None
    unlisted: bool = False


@dataclass(slots=True)
class Plan:
    """What one commit writes, and what to answer to each write once it is through.

    `inserts`, `updates` and `deletes` are of entities; updates are {q: filter, u: update, upsert}.
    Revisions take evolutions with the updates in `taken`, buckets by the keys in `opened`, of which `spilled`
    and `repacked` are left, and instances with those in `rewritten` and by the keys in `taken_out`; all of
    these have to find what they are for. What is in `forgotten`, and by filters in `erased` (history),
    `dropped` (buckets) and `strayed`, goes before anything else is written. `throttled`: when (µs) each
    throttled subscription that was due was due last.
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
    throttled: dict[str, int] = field(default_factory=dict)
    outcomes: list[Any] = field(default_factory=list)

    def forget(self, entity_id: str) -> None:
        """An evolution goes, with what was to be recorded of it up to now."""
        self.history = [one for one in self.history if one["_id"]["e"] != entity_id]
        self.evolutions = [one for one in self.evolutions if one["q"]["_id"] != entity_id]
        self.forgotten.append(entity_id)
        for filters in (self.erased, self.dropped, self.strayed):
            filters.append({"_id": of_entity(entity_id)})


def read(documents: list[Document]) -> tuple[int, dict[str, Stored]]:
    """The tenant's epoch, and the entities found, by id, as they are in the database."""
    epoch, found = 0, {}
    for document in documents:
        if document["_id"] == EPOCH:
            epoch = document["n"]
        else:
            rev, by, due = document["rev"], document["by"], document.get("due")
            unlisted = "unlisted" in document
            entity = codec.decode_entity(document)
            found[entity["id"]] = Stored(entity, rev, by, due, unlisted)
    return epoch, found


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
        if (catalogued := _catalogued(change, state.unlisted)) is not None:
            plan.evolutions.append(catalogued)
        state.unlisted = False


def _catalogued(change: Change, unlisted: bool) -> Document | None:
    """Keeps the list of whose history there is; touched only when an attribute, type or scope is new."""
    before, after = None if unlisted else change.before, change.after
    if after is None and not unlisted:
        return _upsert(change.id, {"$set": {"deletedAt": change.now}})
    if before is not None and after is not None and _is_listed(before, after):
        new = after["attrs"].keys() - before["attrs"].keys()
        if not new:
            return None
        return _upsert(change.id, {"$addToSet": {"attrs": {"$each": [*map(codec.key, new)]}}})
    facts = {name: change.entity[name] for name in ("type", "createdAt", "scope") if name in change.entity}
    attrs = {"$each": [codec.key(iri) for iri in change.entity["attrs"]]}
    if after is None:
        return _upsert(change.id, {"$set": {**facts, "deletedAt": change.now}, "$addToSet": {"attrs": attrs}})
    return _upsert(change.id, {"$set": facts, "$addToSet": {"attrs": attrs}, "$unset": {"deletedAt": 1}})


def _is_listed(before: Entity, after: Entity) -> bool:
    """Whether the catalogue says already what the entity is now, but for its attributes."""
    return before["type"] is after["type"] and before.get("scope") is after.get("scope")


def _upsert(document_id: str, update: Document) -> Document:
    return {"q": {"_id": document_id}, "u": update, "upsert": True}


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
        extra = codec.encode_places(after["attrs"]) | {"shape": codec.shape(after)}
        plan.inserts.append({**codec.encode_entity(after), **extra, **own})
    else:
        changed, gone = _difference(before, after)
        gone += [name for name in ("due", "unlisted") if getattr(stored, name) and name not in own]
        update = {"$set": {**changed, **own}}
        if gone:
            update["$unset"] = dict.fromkeys(gone, 1)
        plan.updates.append({"q": {"_id": entity_id}, "u": update})


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
