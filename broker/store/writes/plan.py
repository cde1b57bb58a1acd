"""What a group writes: each write's rule applied to what stands, and what follows for each entity.

Pure but for the clock and the sink that a `Planner` is made with.
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
    """How the facts of an evolution change: `facts` to set, new `attrs` (stored keys), `gone` facts."""

    facts: Document = field(default_factory=dict)
    attrs: dict[str, None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.facts or self.attrs or self.gone)


@dataclass(slots=True)
class Draft:
    """An entity in the making: what stands, what it comes to, and what is to be recorded and delivered of it.

    `history` holds documents of single instances. `forgets`: its history goes. `has_past`: it will have an
    evolution, whose facts are those of the entity if it `is_listed`. `throttled`: entries that are due to
    throttled subscriptions. `writes` were judged, with these outcomes; `last`: the last change of them.
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
    forgets: bool = False
    throttled: list[tuple[Entry, Triggered]] = field(default_factory=list)
    writes: list[tuple[Write, Any]] = field(default_factory=list)
    last: Change | None = None
    _weights: list[int] = field(default_factory=list)

    @property
    def weights(self) -> list[int]:
        """The bytes of each instance of the history, about."""
        self._weights += [weight.of_instance(one["i"]) for one in self.history[len(self._weights) :]]
        return self._weights

    @property
    def change(self) -> Change:
        """What becomes of the entity that stands, if there is one before and after."""
        last = self.last
        if last is not None and last.before is self.stored.entity and last.after is self.entity:
            return last
        return Change(self.id, self.stored.entity, self.entity, "")

    def forget(self) -> None:
        """The history goes, that of the group too."""
        self.forgets, self.has_past, self.is_listed = True, False, False
        self.history, self._weights, self.listing = [], [], Listing()

    def restore(self) -> None:
        """Makes throttled subscriptions due again, whom an attempt that failed may have left out."""
        for entry, due in self.throttled:
            entry.subscriptions.add(due.subscription)
        every = {entry.id: entry for entry in (*self.entries, *(entry for entry, _ in self.throttled))}
        self.entries = sorted(every.values(), key=lambda entry: entry.rev)

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self.entity is not self.stored.entity or self.rev != self.stored.rev


@dataclass(frozen=True, slots=True)
class Condition:
    """A subscription that an entry is due to only if a condition on linked entities holds."""

    entry: Entry
    due: Triggered
    entity: Entity


@dataclass(slots=True)
class Plan:
    """The drafts of a group, by entity, and what has to be judged before they are written."""

    tenant: str
    drafts: dict[str, Draft] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)

    @property
    def changed(self) -> list[Draft]:
        """The drafts of which there is something to write."""
        return [draft for draft in self.drafts.values() if draft.is_changed]


@dataclass(frozen=True, slots=True)
class Planner:
    """Applies rules, and finds what follows from them."""

    sink: ChangeSink
    clock: Clock
    process: str
    recording: Recording

    def plan(self, tenant: str, writes: list[Write], found: dict[str, Stored]) -> Plan:
        """Applies each write's rule, in order. A write whose rule fails, fails alone."""
        plan, expiring = Plan(tenant), self.clock.expiring()
        for write in writes:
            draft = plan.drafts.get(write.entity_id)
            if draft is None:
                stored = found.get(write.entity_id, ABSENT)
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
        except Exception as fault:  # of ours: the others go on
            fault.add_note(f"while a rule was applied to {write.entity_id}")
            return fault

    def _apply(self, write: Write, draft: Draft, plan: Plan) -> Any:
        assert not isinstance(write.rule, Revision), "revisions are worked out elsewhere"
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
            draft.throttled += [(entry, due) for due in triggered if due.throttling]
            plan.conditions += [Condition(entry, due, change.entity) for due in triggered if due.condition]
        self._record(draft, change, gone, stamp)
        draft.entity, draft.rev, draft.last = outcome.after, stamp.rev, change
        return outcome.answer

    def _entry(
        self, tenant: str, change: Change, has_gone: bool, triggered: list[Triggered], stamp: Stamp
    ) -> Entry:
        shows_changes = any(due.shows_changes for due in triggered)
        return Entry(
            entry_id(stamp.rev, stamp.number, self.process), tenant, change.id, stamp.rev,
            self.clock.server(), self.process,
            {due.subscription for due in triggered},
            with_tombstones(change) if has_gone or change.after is None else change.entity,
            (previous(change) or None) if shows_changes else None,
        )  # fmt: skip

    def _record(self, draft: Draft, change: Change, gone: list[tuple[str, Instance]], stamp: Stamp) -> None:
        """Adds the history of a change, in which the instances in `gone` were deleted."""
        if not self.recording.covers(change):
            draft.is_listed = draft.is_listed and change.after is None
        elif self.recording.forgets and change.after is None:
            draft.forget()
        else:
            draft.history += records(change, stamp, list(written(change)), gone)
            _list(draft, change)
            draft.has_past = draft.is_listed = True


def _list(draft: Draft, change: Change) -> None:
    """Keeps the facts of the evolution; touched only when an attribute, type or scope is new."""
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
    """Whether the evolution says already what the entity is now, but for its attributes."""
    return before["type"] is after["type"] and before.get("scope") is after.get("scope")


def _new_keys(before: Entity | None, after: Entity) -> Iterator[str]:
    old = {} if before is None else before["attrs"]
    if old is not after["attrs"]:
        yield from (codec.key(iri) for iri in after["attrs"] if iri not in old)
