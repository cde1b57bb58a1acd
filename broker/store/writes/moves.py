"""Writes in a transaction: those that move history or entries out of a document.

When the history fills a document, it moves into buckets, one or more for each attribute. Instances older than
the end of the last bucket of their attribute, large or expiring ones, and groups of fewer than four become
single instances in `history`. Pending entries that fill a document, and large ones, move to the outbox. If
the history of an existing document does not fill it, its new instances go straight to single ones. Throttling
is decided here, too, since it needs a transaction.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.history.buckets import LARGE, pack
from broker.store.history.records import held_item, single_document
from broker.store.pending import entries
from broker.store.pending.throttles import throttle
from broker.store.registry.timers import Schedule
from broker.store.wire import commands
from broker.store.wire.tenants import Tenant
from broker.store.writes import weight
from broker.store.writes.group_transaction import WriteConflict, transaction
from broker.store.writes.plan import Draft
from broker.store.writes.statements import Statement, bytes_of, document, statement, without_history
from broker.store.writes.transaction_batch import Batch

Document = dict[str, Any]

HELD_INSTANCES = 32  # the most instances of history in a document
HELD_BYTES = 32_768  # the most bytes of history in a document
PENDING = 8  # the most pending entries in a document
LARGE_ENTRY = 65_536  # bytes; a larger entry always goes to the outbox
_FEW = 4  # the fewest instances for which a bucket is made
WORTH_PACKING = 128  # instances outside the document from which on packing pays
_SHOWN = {"rev": 1, "h": 1, "o": 1, "p": 1, "past.attrs": 1}


def has_to_move(draft: Draft) -> bool:
    """Whether a draft needs a transaction, because one statement cannot write it."""
    return draft.deletes_history or bool(draft.throttled) or _is_full(draft) or _is_pending_full(draft)


def _is_full(draft: Draft) -> bool:
    """Whether the new history of a draft does not fit in its document, or has a large instance."""
    if not draft.history:
        return False
    sizes, stored = draft.weights, draft.stored
    return (
        stored.held + len(sizes) > HELD_INSTANCES
        or stored.weight + sum(sizes) > HELD_BYTES
        or max(sizes) > LARGE
    )


def _is_pending_full(draft: Draft) -> bool:
    if not draft.entries:
        return False
    return len(draft.stored.pending) + len(draft.entries) > PENDING or any(map(_is_large, draft.entries))


def _is_large(entry: Any) -> bool:
    size = weight.of_entity(entry.entity)
    if entry.previous is not None:
        size += weight.of_entity({"attrs": entry.previous})
    return size > LARGE_ENTRY


class Mover:
    """Writes drafts in transactions. States that throttling suppresses become timers of the schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    async def commit(
        self,
        session: AsyncClientSession,
        tenant: Tenant,
        drafts: Sequence[Draft],
        doubt: Callable[[], None],
    ) -> None:
        """Writes all of the drafts or none; WriteConflict if another write has changed an entity.

        Calls `doubt` repeatedly while the result is unknown.
        """
        async with transaction(session, doubt):
            until = await self.write(session, tenant, drafts)
        self.expect(until)

    async def write(
        self, session: AsyncClientSession, tenant: Tenant, drafts: Sequence[Draft], *, has_read: bool = False
    ) -> int | None:
        """Writes drafts in the open transaction of a session. WriteConflict if an entity has changed.

        Returns the time of the first timer that it sets, to be given to `expect` after the commit; None if it
        sets none. `has_read`: the documents were read in this transaction, so MongoDB detects conflicts and
        the statements need no guard.
        """
        until: int | None = None
        documents = await self._read(session, tenant, [draft for draft in drafts if has_to_move(draft)])
        if throttled := [pair for draft in drafts for pair in draft.throttled]:
            for draft in drafts:
                draft.restore()
            until = await throttle(session, tenant, self._schedule.timers, throttled)
        batch = Batch()
        for draft in drafts:
            draft.entries = [entry for entry in draft.entries if entry.subscriptions]
            _write(draft, documents.get(draft.id), batch, has_read)
        await batch.write(session, tenant)
        return until

    def expect(self, until: int | None) -> None:
        """Announces a timer at `until` (µs), if there is one, to whoever waits for timers in this process."""
        if until is not None:
            self._schedule.expect(until)

    async def _read(
        self, session: AsyncClientSession, tenant: Tenant, drafts: Sequence[Draft]
    ) -> dict[str, Document]:
        """The parts of the drafts' documents that may have to move, by entity id.

        WriteConflict if one of the documents has changed.
        """
        ids = [draft.id for draft in drafts if draft.stored.rev]
        if not ids:
            return {}
        wanted = {"_id": {"$in": ids}}
        documents = await commands.find(tenant.entities, wanted, session, projection=_SHOWN)
        by_id = {document["_id"]: document for document in documents}
        for draft in drafts:
            if by_id.get(draft.id, {}).get("rev", 0) != draft.stored.rev:
                raise WriteConflict(f"{draft.id} was written meanwhile")
        return by_id


def _write(draft: Draft, old: Document | None, batch: Batch, has_read: bool) -> None:
    """Adds the statements of a draft to the batch; `old` is its stored document, None if there is none."""
    moving = _Moving(draft, old or {}, batch, has_read)
    if draft.deletes_history:
        batch.forget(draft.id)
    if _is_full(draft):
        moving.move_history()
    elif not draft.deletes_history:
        moving.add_singles()
    if _is_pending_full(draft):
        moving.move_pending()
    moving.finish()


class _Moving:
    """The statements of one draft, which move history and entries out of its document."""

    def __init__(self, draft: Draft, old: Document, batch: Batch, has_read: bool) -> None:
        self._draft = draft
        self._has_read = has_read
        self._old = old
        self._batch = batch
        self._kept: list[Document] | None = None  # the document's history afterwards; None: only added to
        self._is_beside = False  # whether the new history goes to single instances
        self._entries: list[Document] | None = None  # the document's entries afterwards; None: only added to
        self._packed: dict[str, int] = {}  # attribute key: end of its last bucket (µs)
        self._outside = 0  # instances that this write adds outside the document

    def move_history(self) -> None:
        """Moves the history in the document out of it, and large new instances to single ones.

        The other new instances stay in the document if they fit, else they move, too.
        """
        draft = self._draft
        old = (
            []
            if draft.deletes_history
            else [single_document(draft.id, item) for item in self._old.get("h", ())]
        )
        new = [instance for instance in draft.history if bytes_of(instance) <= LARGE]
        self._add_singles(instance for instance in draft.history if bytes_of(instance) > LARGE)
        if len(new) > HELD_INSTANCES or sum(map(bytes_of, new)) > HELD_BYTES:
            self._pack(old + new)
            self._kept = []
        else:
            self._pack(old)
            self._kept = new

    def add_singles(self) -> None:
        """Writes the new history of an existing document as single instances, so that it stays short.

        In a transaction, this costs MongoDB no more than a longer document.
        """
        if self._draft.stored.rev:
            self._add_singles(self._draft.history)
            self._is_beside = True

    def move_pending(self) -> None:
        """Moves the document's entries to the outbox; new ones, too, if they are too many or too large."""
        draft = self._draft
        old = [entries.moved(stored, draft.id) for stored in self._old.get("o", ())]
        self._batch.pending += old
        if len(draft.entries) > PENDING or any(map(_is_large, draft.entries)):
            self._batch.pending += map(entries.apart, draft.entries)
            self._entries = []
        else:
            self._entries = [*map(entries.held, draft.entries)]

    def finish(self) -> None:
        """Adds the statement for the document itself to the batch."""
        if not self._draft.stored.rev:
            self._batch.new.append(self._new())
            return
        is_history_added = self._kept is None and not self._is_beside
        update = statement(self._draft) if is_history_added else without_history(self._draft)
        self._list_attrs(update)
        if self._kept is not None:
            update.hold(self._kept, sum(map(bytes_of, self._kept)), anew=True)
            update.set |= {f"p.{key}": time for key, time in self._packed.items()}
        if self._outside:
            self._count(update)
        if self._entries is not None:
            update.push.pop("o", None)
            update.set |= {"o": self._entries, "ov": True}
        self._batch.entities.append(update.unguarded if self._has_read else update.plain)

    def _list_attrs(self, update: Statement) -> None:
        """Replaces the addition of attributes to the evolution by the whole list, which is cheaper.

        MongoDB would compare each new attribute with all others.
        """
        if (added := update.add.pop("past.attrs", None)) is not None:
            attrs = dict.fromkeys(self._old.get("past", {}).get("attrs", ()))
            update.set["past.attrs"] = list(attrs | dict.fromkeys(added["$each"]))

    def _new(self) -> Document:
        new = document(self._draft)
        if self._kept is not None:
            new |= {"h": [*map(held_item, self._kept)], "hn": len(self._kept)}
            new["hb"] = sum(map(bytes_of, self._kept))
            new |= {"pn": self._outside} | ({"pk": 1} if self._outside >= WORTH_PACKING else {})
            if self._packed:
                new["p"] = self._packed
        if self._entries is not None:
            new |= {"o": self._entries, "ov": True}
        return new

    def _count(self, update: Statement) -> None:
        """Updates the count of instances outside the document; marks it for the packer if that pays."""
        update.set["pn"] = outside = self._draft.stored.outside + self._outside
        if outside >= WORTH_PACKING:
            update.set["pk"] = 1

    def _pack(self, instances: list[Document]) -> None:
        """Packs instances into buckets, by attribute. Those that do not fit, or are few, become single."""
        by_key = groupby(sorted(instances, key=_order), key=lambda instance: str(instance["_id"]["a"]))
        for key, group in by_key:
            last = self._old.get("p", {}).get(key)
            of_attr = list(group)
            fit = [instance for instance in of_attr if _is_fit(instance, last)]
            if len(fit) < _FEW:
                self._add_singles(of_attr)
            else:
                self._add_singles(instance for instance in of_attr if not _is_fit(instance, last))
                self._batch.packed += pack(fit)
                self._outside += len(fit)
                self._packed[key] = fit[-1]["_id"]["t"]

    def _add_singles(self, instances: Iterable[Document]) -> None:
        singles = list(instances)
        self._batch.singles += singles
        self._outside += len(singles)


def _is_fit(instance: Document, last: int | None) -> bool:
    """Whether a bucket may hold an instance: it is later than `last`, the end of the last bucket (µs; None
    if there is no bucket), and does not expire.
    """
    return (last is None or instance["_id"]["t"] > last) and "expiresAt" not in instance["i"]


def _order(instance: Document) -> tuple[str, int, int]:
    key = instance["_id"]
    return key["a"], key["t"], key["s"]
