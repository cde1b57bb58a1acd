"""The group commit: reads the stored state, applies the rules, and writes each entity by one statement."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure, PyMongoError

from broker.core.delivery.entry import Entry
from broker.core.errors import BadRequestData, Unavailable
from broker.core.temporal.revision import Revision
from broker.store.registry.timers import Schedule
from broker.store.wire import commands
from broker.store.wire.errors import PASSING, is_passing, meaning, why
from broker.store.wire.tenants import EPOCH, Tenant
from broker.store.writes import revisions, stored
from broker.store.writes.conditional import drop_unmet
from broker.store.writes.group_transaction import WriteConflict, transaction
from broker.store.writes.guarded import WAITED, Away, Failed, Guarded
from broker.store.writes.moves import Mover, has_to_move
from broker.store.writes.plan import Draft, Plan, Planner
from broker.store.writes.queue import Write
from broker.store.writes.statements import document, statement

log = logging.getLogger(__name__)
Document = dict[str, Any]
Sent = Coroutine[Any, Any, dict[int, Failed]]

_ERRORS = (PyMongoError, BSONError, ValueError, OverflowError, RecursionError)
_MANY = 5  # entities from which on a transaction pays: it takes two round trips, single statements take one
_A_WHILE = 20  # groups that are written by statements after a transaction failed
_GUARD = {11000, 66}  # codes of a failed guard: the document has another revision, exists, or is missing
_TOO_BIG = {2, 15, 10334, 17419, 17420, 22}  # codes of BSON that is too large or nested too deeply


class Again(Exception):
    """A conflict: another write was faster. Nothing of this write was written; it can be retried."""


class Refused(Exception):
    """The database refuses a write, and would refuse a retry. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one group commit: updates and inserts, used concurrently, and transactions."""

    updates: Guarded
    inserts: Guarded
    transactions: AsyncClientSession

    async def close(self) -> None:
        """Returns the session for transactions to the driver, which may reuse it."""
        await self.transactions.end_session()


class Committer:
    """Commits groups of writes of one process."""

    def __init__(self, planner: Planner, schedule: Schedule) -> None:
        self._planner = planner
        self._mover = Mover(schedule)
        self._separately = 0  # the number of coming groups that are not tried as a transaction

    async def commit(self, sessions: Sessions, tenant: Tenant, writes: list[Write]) -> list[Any]:
        """Commits writes of different or the same entities. Returns the outcome of each: answer or exception.

        A write with an answer is durable. `Again` means that the write conflicted and can be retried. Any
        failure of one write, even an unexpected one, is its outcome. Raises only if nothing was written at
        all: Away if the database is away.
        """
        revising = [write for write in writes if isinstance(write.rule, Revision)]
        outcomes: dict[int, Any] = {}
        if len(revising) < len(writes):
            rules = (
                [write for write in writes if not isinstance(write.rule, Revision)] if revising else writes
            )
            outcomes |= await self._apply(sessions, tenant, rules)
        if revising:
            outcomes |= await self._revise(sessions, tenant, revising)
        return [outcomes[id(write)] for write in writes]

    async def _apply(self, sessions: Sessions, tenant: Tenant, writes: list[Write]) -> dict[int, Any]:
        """Applies and commits rules. Returns the outcomes by `id()` of the writes."""
        failed: dict[str, Exception] = {}
        plan = await self._apply_together(sessions.transactions, tenant, writes)
        if plan is None:
            plan = await self._read_and_plan(tenant, writes)
            failed = await self._write(sessions, tenant, plan)
        self._hand_on(plan, failed)
        return {
            id(write): failed.get(draft.id, outcome)
            for draft in plan.drafts.values()
            for write, outcome in draft.writes
        }

    async def _revise(self, sessions: Sessions, tenant: Tenant, writes: list[Write]) -> dict[int, Any]:
        """Commits revisions: together, or each alone if that fails. Returns outcomes by `id()` of writes."""
        try:
            doubt = partial(_doubt, writes)
            clock = self._planner.clock
            answers = await revisions.commit(sessions.transactions, tenant, writes, clock, doubt)
        except Exception as error:
            if len(writes) == 1:
                return {id(writes[0]): _meaning(error)}
            outcomes: dict[int, Any] = {}
            for write in writes:
                outcomes |= await self._revise(sessions, tenant, [write])
            return outcomes
        return {id(write): answer for write, answer in zip(writes, answers, strict=True)}

    async def _apply_together(
        self, session: AsyncClientSession, tenant: Tenant, writes: list[Write]
    ) -> Plan | None:
        """Reads, plans and writes a group in one transaction. Returns the plan; None if nothing was written.

        A transaction costs MongoDB much less than many single statements: one record in the oplog. But one
        conflict aborts it, so after a failure the next groups are written by statements.
        """
        if len({write.entity_id for write in writes}) < _MANY:
            return None
        if self._separately > 0:
            self._separately -= 1
            return None
        try:
            async with transaction(session, partial(_doubt, writes)):
                plan = await self._plan(tenant, writes, session)
                until = await self._mover.write(session, tenant, plan.changed, has_read=True)
        except Exception:  # nothing was written: single statements will show which write is at fault
            self._separately = _A_WHILE
            return None
        self._mover.expect(until)
        return plan

    async def _read_and_plan(self, tenant: Tenant, writes: list[Write]) -> Plan:
        try:
            return await self._plan(tenant, writes)
        except PyMongoError as error:
            raise _away(error) from error
        except Unavailable as error:
            raise Away(error.detail) from error

    async def _plan(
        self, tenant: Tenant, writes: list[Write], session: AsyncClientSession | None = None
    ) -> Plan:
        ids = list({write.entity_id for write in writes})
        wanted = {"_id": {"$in": [EPOCH, *ids]}}
        documents = await commands.find(
            tenant.entities, wanted, session, projection=stored.LEFT_OUT, level="local"
        )
        epoch, states = stored.read(tenant.name, documents)
        await self._planner.sink.at_epoch(tenant.name, *epoch)
        plan = self._planner.plan(tenant.name, writes, states)
        if plan.conditions:
            await drop_unmet(tenant, plan, self._planner.clock.expiring())
        return plan

    async def _write(self, sessions: Sessions, tenant: Tenant, plan: Plan) -> dict[str, Exception]:
        """Writes the changed drafts of a plan. Returns the error of each entity that was not written."""
        drafts = plan.changed
        large = [draft for draft in drafts if has_to_move(draft)]
        small = drafts if not large else [draft for draft in drafts if not has_to_move(draft)]
        failed = await self._write_small(sessions, tenant, small) if small else {}
        if large:
            failed |= await self._write_large(sessions, tenant, large)
        return failed

    async def _write_small(
        self, sessions: Sessions, tenant: Tenant, drafts: Sequence[Draft]
    ) -> dict[str, Exception]:
        new = [draft for draft in drafts if not draft.stored.rev]
        old = [draft for draft in drafts if draft.stored.rev] if new else list(drafts)
        doubt = _doubting(drafts)

        def update(part: Sequence[Draft]) -> Sent:
            updates = [statement(draft).guarded for draft in part]
            return sessions.updates.update(tenant.entities, updates, doubt)

        def insert(part: Sequence[Draft]) -> Sent:
            return sessions.inserts.insert(tenant.entities, [*map(document, part)], doubt)

        if not new:
            return await _each(old, update)
        if not old:
            return await _each(new, insert)
        updated, inserted = await asyncio.gather(_each(old, update), _each(new, insert))
        return updated | inserted

    async def _write_large(
        self, sessions: Sessions, tenant: Tenant, drafts: Sequence[Draft]
    ) -> dict[str, Exception]:
        """Writes drafts that need a transaction: all in one, or each in its own if that fails."""
        try:
            await self._mover.commit(sessions.transactions, tenant, drafts, _doubting(drafts))
        except Exception as error:
            if len(drafts) == 1:
                return {drafts[0].id: _alone(drafts[0], _meaning(error))}
            failed: dict[str, Exception] = {}
            for draft in drafts:
                failed |= await self._write_large(sessions, tenant, [draft])
            return failed
        return {}

    def _hand_on(self, plan: Plan, failed: dict[str, Exception]) -> None:
        """Gives the sink each committed entry, with the entries of its entity that were pending before it."""
        for draft in plan.drafts.values():
            if draft.entries and draft.id not in failed:
                earlier = list(draft.stored.pending)
                for entry in draft.entries:
                    self._hand_on_entry(entry, tuple(earlier), draft.stored.is_whole)
                    earlier.append(entry)

    def _hand_on_entry(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Gives an entry to the sink. Logs its errors: they must not fail the write, which is durable."""
        try:
            self._planner.sink.committed(entry, earlier, is_whole)
        except Exception:
            log.exception("an entry was not handed on for delivery", extra={"entity": entry.entity_id})


async def _each(drafts: Sequence[Draft], send: Callable[[Sequence[Draft]], Sent]) -> dict[str, Exception]:
    """Sends one statement for each draft. Returns the error of each entity whose statement failed.

    If the command fails as a whole, sends it in halves: a draft that cannot be encoded fails alone.
    """
    try:
        failed = await send(drafts)
    except Away as away:
        return dict.fromkeys((draft.id for draft in drafts), away)
    except Exception as error:
        if len(drafts) == 1:
            return {drafts[0].id: _alone(drafts[0], _meaning(error))}
        half = len(drafts) // 2
        return await _each(drafts[:half], send) | await _each(drafts[half:], send)
    return {drafts[number].id: _alone(drafts[number], _why(failure)) for number, failure in failed.items()}


def _alone(draft: Draft, error: Exception) -> Exception:
    """The error of a draft. `Again` if several writes caused it: each of them is then retried alone."""
    if isinstance(error, Again | Away) or len(draft.writes) == 1:
        return error
    for write, _ in draft.writes:
        write.is_alone = True
    return Again(str(error))


def _doubting(drafts: Sequence[Draft]) -> Callable[[], None]:
    """A callback for the time while the result of a commit is unknown: see `_doubt`."""
    return partial(_doubt, [write for draft in drafts for write, _ in draft.writes])


def _doubt(writes: Sequence[Write]) -> None:
    """Answers the writes that have waited too long while the result of their commit is unknown."""
    for write in writes:
        write.give_up_if_late()


def _why(failed: Failed) -> Exception:
    """The outcome of a write whose statement failed."""
    if failed.code in _GUARD or failed.code == WAITED:
        return Again(failed.reason)
    if failed.code in PASSING:
        return Away(why([failed.code]))
    if failed.code in _TOO_BIG:
        return _too_big(failed.reason)
    return Refused(failed.reason)


def _meaning(error: Exception) -> Exception:
    """The outcome of a write for an error that was raised; an error of neither driver nor encoder is kept."""
    if isinstance(error, WriteConflict):
        return Again(str(error))
    if not isinstance(error, _ERRORS):
        return error
    if isinstance(error, PyMongoError) and is_passing(error):
        return Away(str(meaning(error)))
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _GUARD:
        return Again(str(error))
    if isinstance(error, OperationFailure) and code not in _TOO_BIG:
        return Refused(str(error))
    return _too_big(str(error))


def _away(error: PyMongoError) -> Exception:
    return Away(str(meaning(error))) if is_passing(error) else Refused(str(error))


def _too_big(reason: str) -> BadRequestData:
    first_line = reason.partition(", full error")[0].splitlines()[0][:200]
    return BadRequestData(f"entity: the database cannot hold it: {first_line}")
