"""One group commit: reads what stands, applies the group's rules, and writes each entity by one statement."""

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
_MANY = 5  # entities that are worth a transaction: it takes two round trips, where statements take one
_A_WHILE = 20  # groups
_GUARD = {11000, 66}  # the document is of another revision, or there is one, or none
_TOO_BIG = {2, 15, 10334, 17419, 17420, 22}  # BSON too large or nested too deeply, as the server puts it


class Again(Exception):
    """Another write was faster: nothing was written of this one, and it may be tried again."""


class Refused(Exception):
    """The database does not take this, however often it is tried: nothing was written."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """What one group commits on: two of guarded statements, used side by side, and one of transactions."""

    updates: Guarded
    inserts: Guarded
    transactions: AsyncClientSession

    async def close(self) -> None:
        """Ends what the driver may use again."""
        await self.transactions.end_session()


class Committer:
    """Commits groups of writes on behalf of one process."""

    def __init__(self, planner: Planner, schedule: Schedule) -> None:
        self._planner = planner
        self._mover = Mover(schedule)
        self._separately = 0  # groups that are yet to be written statement by statement

    async def commit(self, sessions: Sessions, tenant: Tenant, writes: list[Write]) -> list[Any]:
        """The outcome of each write: an answer, or an exception; `Again` for those to be tried again.

        What has an answer is durable. What goes wrong with one write, even in a way that nobody foresaw, is
        its outcome: an exception is only raised if nothing was written at all. It is Away if the database is.
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
        """Applies rules; the outcomes by the identity of the writes."""
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
        """Carries out revisions, each alone if that fails together; outcomes by the writes' identity."""
        try:
            doubt = partial(_doubt, writes)
            found = await revisions.commit(sessions.transactions, tenant, writes, self._planner.clock, doubt)
        except Exception as error:
            if len(writes) == 1:
                return {id(writes[0]): _meaning(error)}
            outcomes: dict[int, Any] = {}
            for write in writes:
                outcomes |= await self._revise(sessions, tenant, [write])
            return outcomes
        return {id(write): outcome for write, outcome in zip(writes, found, strict=True)}

    async def _apply_together(
        self, session: AsyncClientSession, tenant: Tenant, writes: list[Write]
    ) -> Plan | None:
        """Reads, plans and writes in one transaction; None if that fails: then it is done piece by piece.

        It costs MongoDB much less than as many statements that stand alone: one record in its log, not many.
        But one conflict fails it as a whole, so where there was one it is not tried for a while.
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
        except Exception:  # nothing was written: whose fault it is comes out when each is written by itself
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
        found = await commands.find(
            tenant.entities, wanted, session, projection=stored.LEFT_OUT, level="local"
        )
        epoch, stood = stored.read(tenant.name, found)
        await self._planner.sink.at_epoch(tenant.name, *epoch)
        plan = self._planner.plan(tenant.name, writes, stood)
        if plan.conditions:
            await drop_unmet(tenant, plan, self._planner.clock.expiring())
        return plan

    async def _write(self, sessions: Sessions, tenant: Tenant, plan: Plan) -> dict[str, Exception]:
        """Writes the drafts; for each entity that was not written, why."""
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

        def update(some: Sequence[Draft]) -> Sent:
            return sessions.updates.update(tenant.entities, [statement(one).guarded for one in some], doubt)

        def insert(some: Sequence[Draft]) -> Sent:
            return sessions.inserts.insert(tenant.entities, [document(one) for one in some], doubt)

        if not new:
            return await _each(old, update)
        if not old:
            return await _each(new, insert)
        updated, inserted = await asyncio.gather(_each(old, update), _each(new, insert))
        return updated | inserted

    async def _write_large(
        self, sessions: Sessions, tenant: Tenant, drafts: Sequence[Draft]
    ) -> dict[str, Exception]:
        """Writes drafts for which something has to move, together; each alone if that fails."""
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
        """Gives the sink the entries that are committed now, with what was pending before them."""
        for draft in plan.drafts.values():
            if draft.entries and draft.id not in failed:
                earlier = list(draft.stored.pending)
                for entry in draft.entries:
                    self._tell(entry, tuple(earlier), draft.stored.is_whole)
                    earlier.append(entry)

    def _tell(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Tells the sink. Its faults are not those of writes, which are durable by now."""
        try:
            self._planner.sink.committed(entry, earlier, is_whole)
        except Exception:
            log.exception("an entry was not handed on for delivery", extra={"entity": entry.entity_id})


async def _each(drafts: Sequence[Draft], send: Callable[[Sequence[Draft]], Sent]) -> dict[str, Exception]:
    """Sends statements for drafts; why each entity failed that did. What cannot be encoded fails alone."""
    try:
        failed = await send(drafts)
    except Away as away:
        return dict.fromkeys((draft.id for draft in drafts), away)
    except Exception as error:
        if len(drafts) == 1:
            return {drafts[0].id: _alone(drafts[0], _meaning(error))}
        half = len(drafts) // 2
        return await _each(drafts[:half], send) | await _each(drafts[half:], send)
    return {drafts[number].id: _alone(drafts[number], _why(one)) for number, one in failed.items()}


def _alone(draft: Draft, error: Exception) -> Exception:
    """Of several writes to an entity that the database does not take together, each is tried by itself."""
    if isinstance(error, Again | Away) or len(draft.writes) == 1:
        return error
    for write, _ in draft.writes:
        write.is_alone = True
    return Again(str(error))


def _doubting(drafts: Sequence[Draft]) -> Callable[[], None]:
    """What lets requesters go after a while for whom nobody knows whether their write went through."""
    return partial(_doubt, [write for draft in drafts for write, _ in draft.writes])


def _doubt(writes: Sequence[Write]) -> None:
    for write in writes:
        write.give_up_if_late()


def _why(failed: Failed) -> Exception:
    if failed.code in _GUARD or failed.code == WAITED:
        return Again(failed.reason)
    if failed.code in PASSING:
        return Away(why([failed.code]))
    if failed.code in _TOO_BIG:
        return _too_big(failed.reason)
    return Refused(failed.reason)


def _meaning(error: Exception) -> Exception:
    """What an error means for an entity: one of the driver, or one that nobody foresaw, as it is."""
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
