"""The plan of a group: applies rules to the stored states and collects what to write for each entity.

Pure, except for the clock and the sink of the `Planner`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from broker.clock import Clock, Stamp
from broker.core import Entity, Instance, instant
from broker.core.change import Change, previous, removed, with_tombstones, written
from broker.core.delivery.entry import Entry, entry_id
from broker.core.errors import NgsiLdError
from broker.core.temporal.recording import Recording
from broker.core.temporal.revision import Revision
from broker.ports.changes import ChangeSink, Triggered
from broker.store.history.records import records
from broker.store.wire import codec
from broker.store.writes import weight
from broker.store.writes.queue import Write
from broker.store.writes.stored import ABSENT, Stored

Document = dict[str, Any]


@dataclass(slots=True)
class Listing:
    """Changes of the facts of an evolution: `facts` to set, `attrs` (stored keys) to add, `gone` to unset."""

    facts: Document = field(default_factory=dict)
    attrs: dict[str, None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.facts or self.attrs or self.gone)


@dataclass(slots=True)
class Draft:
    """A draft: an entity as the group leaves it, with what to record and deliver.

    - `stored`: its stored state; `entity` (None if deleted) and `rev`: its state after the rules;
    - `history`: new single instances, as documents; `deletes_history`: the stored history is deleted;
    - `entries`: pending entries to add; `throttled`: (entry, subscription) for the throttled ones;
    - `has_past`: it will have an evolution; `is_listed`: the facts of that agree with the entity;
    - `listing`: changes of those facts;
    - `writes`: the writes applied so far, with their outcomes; `last`: the last change by one of them.
    """

    id: str
    stored: Stored
    entity: Entity | None
    rev: int
    has_past: bool
    is_listed: bool
    history: list[Document] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    listing: Listing = field(default_factory=Listing)
    deletes_history: bool = False
    throttled: list[tuple[Entry, Triggered]] = field(default_factory=list)
    writes: list[tuple[Write, Any]] = field(default_factory=list)
    last: Change | None = None
    _weights: list[int] = field(default_factory=list)

    @property
    def weights(self) -> list[int]:
        """The approximate size of each instance in `history`, in bytes."""
        self._weights += [weight.of_instance(single["i"]) for single in self.history[len(self._weights) :]]
        return self._weights

    @property
    def change(self) -> Change:
        """The change from the stored state to the draft. It must exist in both. `now` may be empty."""
        last = self.last
        if last is not None and last.before is self.stored.entity and last.after is self.entity:
            return last
        return Change(self.id, self.stored.entity, self.entity, "")

    def forget(self) -> None:
        """Deletes the history, including what the group has added."""
        self.deletes_history, self.has_past, self.is_listed = True, False, False
        self.history, self._weights, self.listing = [], [], Listing()

    def restore(self) -> None:
        """Puts back the throttled subscriptions and entries that a failed attempt may have removed."""
        for entry, each in self.throttled:
            entry.subscriptions.add(each.subscription)
        by_id = {entry.id: entry for entry in (*self.entries, *(entry for entry, _ in self.throttled))}
        self.entries = sorted(by_id.values(), key=lambda entry: entry.rev)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.entity is not self.stored.entity or self.rev != self.stored.rev


@dataclass(frozen=True, slots=True)
class Condition:
    """A subscription that a change of `entity` triggers only if a condition on linked entities holds."""

    entry: Entry
    triggered: Triggered
    entity: Entity


@dataclass(slots=True)
class Plan:
    """The drafts of a group, by entity id, and the conditions to be judged before they are written."""

    tenant: str
    drafts: dict[str, Draft] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)

    @property
    def changed(self) -> list[Draft]:
        """The drafts that have something to write."""
        return [draft for draft in self.drafts.values() if draft.is_changed]


@dataclass(frozen=True, slots=True)
class Planner:
    """Applies rules and makes drafts of their results. `process` delivers the entries."""

    sink: ChangeSink
    clock: Clock
    process: str
    recording: Recording

    def plan(self, tenant: str, writes: list[Write], states: dict[str, Stored]) -> Plan:
        """Applies the rules of writes in order to the stored states, by entity id. Returns the plan.

        A write whose rule raises fails alone: the exception becomes its outcome.
        """
        plan, expiring = Plan(tenant), self.clock.expiring()
        for write in writes:
            draft = plan.drafts.get(write.entity_id)
            if draft is None:
                stored = states.get(write.entity_id, ABSENT)
                alive = stored.alive(expiring)
                draft = Draft(write.entity_id, stored, alive, stored.rev, stored.has_past, stored.is_listed)
                plan.drafts[write.entity_id] = draft
            draft.writes.append((write, self._outcome(write, draft, plan)))
        return plan

    def _outcome(self, write: Write, draft: Draft, plan: Plan) -> Any:
        if draft.stored.fault is not None:
            return draft.stored.fault
        try:
            return self._apply(write, draft, plan)
        except NgsiLdError as error:
            return error
        except Exception as fault:  # a bug in one rule must not fail the other writes
            fault.add_note(f"while a rule was applied to {write.entity_id}")
            return fault

    def _apply(self, write: Write, draft: Draft, plan: Plan) -> Any:
        assert not isinstance(write.rule, Revision), "revisions are applied in `revisions`"
        stamp = self.clock.stamp(draft.rev)
        now = instant.of_micros(stamp.now)
        outcome = write.rule(draft.entity, now)
        if outcome.after is draft.entity:
            return outcome.answer
        change = Change(write.entity_id, draft.entity, outcome.after, now)
        gone = list(removed(change))
        if triggered := self.sink.triggered(write.tenant, change):
            entry = self._entry(write.tenant, change, bool(gone), triggered, stamp)
            draft.entries.append(entry)
            draft.throttled += [(entry, each) for each in triggered if each.throttling]
            plan.conditions += [Condition(entry, each, change.entity) for each in triggered if each.condition]
        self._record(draft, change, gone, stamp)
        draft.entity, draft.rev, draft.last = outcome.after, stamp.rev, change
        return outcome.answer

    def _entry(
        self, tenant: str, change: Change, has_gone: bool, triggered: list[Triggered], stamp: Stamp
    ) -> Entry:
        shows_changes = any(each.shows_changes for each in triggered)
        return Entry(
            entry_id(stamp.rev, stamp.number, self.process), tenant, change.id, stamp.rev,
            self.clock.server(), self.process,
            {each.subscription for each in triggered},
            with_tombstones(change) if has_gone or change.after is None else change.entity,
            (previous(change) or None) if shows_changes else None,
        )  # fmt: skip

    def _record(self, draft: Draft, change: Change, gone: list[tuple[str, Instance]], stamp: Stamp) -> None:
        """Adds the history of a change to a draft; `gone` are the deleted instances: (IRI, instance)."""
        if not self.recording.covers(change):
            draft.is_listed = draft.is_listed and change.after is None
        elif self.recording.deletes_history and change.after is None:
            draft.forget()
        else:
            draft.history += records(change, stamp, list(written(change)), gone)
            _list(draft, change)
            draft.has_past = draft.is_listed = True


def _list(draft: Draft, change: Change) -> None:
    """Adds a change to the listing of a draft. Most add nothing: only new attributes, types or scopes do."""
    listing, before, after = draft.listing, change.before if draft.is_listed else None, change.after
    if after is None:
        listing.facts["deletedAt"] = change.now
        listing.gone.discard("deletedAt")
    elif before is None:
        listing.facts.pop("deletedAt", None)
        listing.gone.add("deletedAt")
    entity = change.entity
    if before is None or (after is not None and not _is_listed(before, after)):
        listing.facts |= {name: entity[name] for name in ("type", "createdAt", "scope") if name in entity}
    listing.attrs |= dict.fromkeys(_new_keys(before, entity))


def _is_listed(before: Entity, after: Entity) -> bool:
    """Whether types and scope are unchanged, so that the facts still agree with the entity."""
    return before["type"] is after["type"] and before.get("scope") is after.get("scope")


def _new_keys(before: Entity | None, after: Entity) -> Iterator[str]:
    """The stored keys of attributes that the entity did not have before."""
    old = {} if before is None else before["attrs"]
    if old is not after["attrs"]:
        yield from (codec.key(iri) for iri in after["attrs"] if iri not in old)
