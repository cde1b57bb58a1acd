"""Writes for which something has to move out of a document, or never goes into it: in a transaction.

History that fills a document moves into buckets, an attribute at a time; what came late, behind the last
bucket of its attribute, becomes single instances, and so do large ones and a few that are not worth a bucket.
Entries that fill a document, and large ones, move to the outbox. Where a whole group goes through a
transaction, the history of its updates becomes single instances at once. Whether what is due to throttled
subscriptions comes too early is decided here, too.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.history.buckets import LARGE, pack
from broker.store.history.records import held, single
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

HELD = 32  # instances of history that a document holds
HELD_BYTES = 32_768
PENDING = 8  # entries that a document holds
LARGE_ENTRY = 65_536  # bytes of an entry that never goes into a document
_FEW = 4  # instances that are not worth a bucket
WORTH = 128  # instances out of the document that are worth being packed
_SHOWN = {"rev": 1, "h": 1, "o": 1, "p": 1, "past.attrs": 1}


def has_to_move(draft: Draft) -> bool:
    """Whether a draft cannot be written by one statement."""
    return draft.forgets or bool(draft.throttled) or _is_full(draft) or _is_pending_full(draft)


def _is_full(draft: Draft) -> bool:
    """Whether the history of a draft does not fit into its document, or some of it is too large for that."""
    if not draft.history:
        return False
    sizes, stored = draft.weights, draft.stored
    return stored.held + len(sizes) > HELD or stored.weight + sum(sizes) > HELD_BYTES or max(sizes) > LARGE


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
    """Writes such drafts. What throttling suppresses goes into the timers of the schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    async def commit(
        self,
        session: AsyncClientSession,
        tenant: Tenant,
        drafts: Sequence[Draft],
        doubt: Callable[[], None],
    ) -> None:
        """Writes all of the drafts, or none; WriteConflict if others wrote one of the entities meanwhile."""
        async with transaction(session, doubt):
            until = await self.write(session, tenant, drafts)
        self.expect(until)

    async def write(
        self, session: AsyncClientSession, tenant: Tenant, drafts: Sequence[Draft], *, has_read: bool = False
    ) -> int | None:
        """Writes drafts in a transaction, to be told to `expect` when that is committed.

        `has_read`: their documents were read in this transaction, so MongoDB itself fails it if others wrote
        one of them since. A guard would only cost.
        """
        until: int | None = None
        found = await self._found(session, tenant, [draft for draft in drafts if has_to_move(draft)])
        if throttled := [one for draft in drafts for one in draft.throttled]:
            for draft in drafts:
                draft.restore()
            until = await throttle(session, tenant, self._schedule.timers, throttled)
        batch = Batch()
        for draft in drafts:
            draft.entries = [entry for entry in draft.entries if entry.subscriptions]
            _write(draft, found.get(draft.id), batch, has_read)
        await batch.write(session, tenant)
        return until

    def expect(self, until: int | None) -> None:
        """What throttling suppressed is due at that time, if any was."""
        if until is not None:
            self._schedule.expect(until)

    async def _found(
        self, session: AsyncClientSession, tenant: Tenant, drafts: Sequence[Draft]
    ) -> dict[str, Document]:
        """The parts of the documents that may have to move."""
        ids = [draft.id for draft in drafts if draft.stored.rev]
        if not ids:
            return {}
        wanted = {"_id": {"$in": ids}}
        documents = await commands.find(tenant.entities, wanted, session, projection=_SHOWN)
        found = {one["_id"]: one for one in documents}
        for draft in drafts:
            if found.get(draft.id, {}).get("rev", 0) != draft.stored.rev:
                raise WriteConflict(f"{draft.id} was written meanwhile")
        return found


def _write(draft: Draft, found: Document | None, batch: Batch, has_read: bool) -> None:
    """Adds to the batch what a draft comes to; `found` is its document, None if there was none."""
    moving = _Moving(draft, found or {}, batch, has_read)
    if draft.forgets:
        batch.forget(draft.id)
    if _is_full(draft):
        moving.history()
    elif not draft.forgets:
        moving.beside()
    if _is_pending_full(draft):
        moving.pending()
    moving.finish()


class _Moving:
    """One draft on its way into a batch."""

    def __init__(self, draft: Draft, found: Document, batch: Batch, has_read: bool) -> None:
        self._draft = draft
        self._has_read = has_read
        self._found = found
        self._batch = batch
        self._kept: list[Document] | None = None  # history that stays in the document, if that is new
        self._is_beside = False
        self._entries: list[Document] | None = None
        self._packed: dict[str, int] = {}
        self._outside = 0  # instances that are out of the document now

    def history(self) -> None:
        """Moves out what the document holds, and what never goes into it."""
        draft = self._draft
        old = [] if draft.forgets else [single(draft.id, one) for one in self._found.get("h", ())]
        new = [one for one in draft.history if bytes_of(one) <= LARGE]
        self._add_singles(one for one in draft.history if bytes_of(one) > LARGE)
        if len(new) > HELD or sum(map(bytes_of, new)) > HELD_BYTES:
            self._pack(old + new)
            self._kept = []
        else:
            self._pack(old)
            self._kept = new

    def beside(self) -> None:
        """Records history of a document that is there as single instances: beside the transaction that costs
        MongoDB no more than a longer document, and the document stays short.
        """
        if self._draft.stored.rev:
            self._add_singles(self._draft.history)
            self._is_beside = True

    def pending(self) -> None:
        """Moves what is pending to the outbox; new entries stay, unless they are too many or too large."""
        draft = self._draft
        old = [entries.moved(one, draft.id) for one in self._found.get("o", ())]
        self._batch.pending += old
        if len(draft.entries) > PENDING or any(map(_is_large, draft.entries)):
            self._batch.pending += map(entries.apart, draft.entries)
            self._entries = []
        else:
            self._entries = [entries.held(one) for one in draft.entries]

    def finish(self) -> None:
        """Adds the statement of the document itself."""
        if not self._draft.stored.rev:
            self._batch.new.append(self._new())
            return
        stays = self._kept is None and not self._is_beside
        made = statement(self._draft) if stays else without_history(self._draft)
        self._list(made)
        if self._kept is not None:
            made.hold(self._kept, sum(map(bytes_of, self._kept)), anew=True)
            made.set |= {f"p.{key}": time for key, time in self._packed.items()}
        if self._outside:
            self._count(made)
        if self._entries is not None:
            made.push.pop("o", None)
            made.set |= {"o": self._entries, "ov": True}
        self._batch.entities.append(made.unguarded if self._has_read else made.plain)

    def _list(self, made: Statement) -> None:
        """Writes the evolution's attributes as a whole: MongoDB would compare each new one with all."""
        if (added := made.add.pop("past.attrs", None)) is not None:
            attrs = dict.fromkeys(self._found.get("past", {}).get("attrs", ()))
            made.set["past.attrs"] = list(attrs | dict.fromkeys(added["$each"]))

    def _new(self) -> Document:
        made = document(self._draft)
        if self._kept is not None:
            made |= {"h": [held(one) for one in self._kept], "hn": len(self._kept)}
            made["hb"] = sum(map(bytes_of, self._kept))
            made |= {"pn": self._outside} | ({"pk": 1} if self._outside >= WORTH else {})
            if self._packed:
                made["p"] = self._packed
        if self._entries is not None:
            made |= {"o": self._entries, "ov": True}
        return made

    def _count(self, made: Statement) -> None:
        """Counts what is out of the document, and has the packer come by when that is worth it."""
        made.set["pn"] = outside = self._draft.stored.outside + self._outside
        if outside >= WORTH:
            made.set["pk"] = 1

    def _pack(self, old: list[Document]) -> None:
        """Puts instances into buckets. A few stay single, and so do those before the end of the last one."""
        by_key = groupby(sorted(old, key=_order), key=lambda one: str(one["_id"]["a"]))
        for key, many in by_key:
            last = self._found.get("p", {}).get(key)
            instances = list(many)
            fit = [one for one in instances if _is_fit(one, last)]
            if len(fit) < _FEW:
                self._add_singles(instances)
            else:
                self._add_singles(one for one in instances if not _is_fit(one, last))
                self._batch.packed += pack(fit)
                self._outside += len(fit)
                self._packed[key] = fit[-1]["_id"]["t"]

    def _add_singles(self, many: Iterable[Document]) -> None:
        many = list(many)
        self._batch.singles += many
        self._outside += len(many)


def _is_fit(one: Document, last: int | None) -> bool:
    """Whether an instance may go into a bucket: it is later than the last one, and does not expire."""
    return (last is None or one["_id"]["t"] > last) and "expiresAt" not in one["i"]


def _order(one: Document) -> tuple[str, int, int]:
    key = one["_id"]
    return key["a"], key["t"], key["s"]
