"""One group commit: reads a group's entities, applies its rules, writes everything in one transaction."""

import asyncio
from typing import Any

from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from broker.clock import Clock
from broker.core.errors import BadRequestData, Unavailable
from broker.core.temporal.recording import Recording
from broker.ports.changes import ChangeSink
from broker.store import commands
from broker.store.conditional import drop_unmet
from broker.store.entries import stored
from broker.store.history import revisions
from broker.store.history.past import Past
from broker.store.history.past import read as read_past
from broker.store.plan import Plan, Stored, read, work_out
from broker.store.queue import Write
from broker.store.tenants import EPOCH, Tenant
from broker.store.throttling import throttle
from broker.store.timers import Schedule

_DUPLICATE_KEY = 11000
# BSON or a key too large, or nested too deeply, as the server puts it.
_TOO_BIG = {2, 15, 22, 10334, 17419, 17420, 5894900}
# Ended by others, timed out, or too late for its snapshot: nothing is wrong with what was to be written.
_AGAIN = {43, 50, 64, 91, 189, 225, 237, 239, 244, 246, 251, 262, 290, 11601}
_ENDED = {50, 237, 262, 290, 11601}
_DOUBT = 20.0  # seconds after which nobody is kept waiting for a commit whose outcome is unknown
_PAUSE = 0.1
_RECORD_ALL = Recording()


class Conflict(Exception):
    """Another commit was faster, or the server wants the transaction done again: nothing was written."""


class Refused(Exception):
    """The database will not take this, however often it is tried: nothing was written."""


class Away(Exception):
    """The database could not be reached: nothing was written."""


class Committer:
    """Commits groups of writes on behalf of one process."""

    def __init__(
        self,
        sink: ChangeSink,
        clock: Clock,
        process: str,
        schedule: Schedule,
        recording: Recording = _RECORD_ALL,
    ) -> None:
        self._sink = sink
        self._schedule = schedule
        self._clock = clock
        self._process = process
        self._recording = recording

    async def commit(self, session: AsyncClientSession, tenant: Tenant, writes: list[Write]) -> list[Any]:
        """The outcome of each write, in order: an answer or an exception. All are durable, or none is.

        Raises Conflict, Refused or Away if none is.
        """
        try:
            await session.start_transaction()
            plan = await self._write(session, tenant, writes)
            await _finish(session, writes)
        except (PyMongoError, BSONError, ValueError, OverflowError, RecursionError, commands.Missed) as error:
            await _abandon(session)
            raise _meaning(error) from error
        except Unavailable as error:
            await _abandon(session)
            raise Away(error.detail) from error
        except BaseException:
            await _abandon(session)
            raise
        if plan.entries:
            self._sink.committed(plan.entries)
        if plan.suppressed_until is not None:
            self._schedule.expect(plan.suppressed_until)
        return plan.outcomes

    async def _write(self, session: AsyncClientSession, tenant: Tenant, writes: list[Write]) -> Plan:
        ids = {write.entity_id for write in writes}
        epoch, found = read(await commands.find(tenant.entities, {"_id": {"$in": [EPOCH, *ids]}}, session))
        await self._sink.at_epoch(tenant.name, *epoch)
        revising = [write for write in writes if write.is_revision]
        past = await read_past(tenant, revising) if revising else {}
        plan = self._worked_out(writes, found, past)
        await commands.insert(tenant.entities, plan.inserts, session)
        await commands.update(tenant.entities, plan.updates, session)
        await commands.delete(tenant.entities, plan.deletes, session)
        if plan.conditions:
            await drop_unmet(session, tenant, plan, self._clock.expiring())
        if any(due.throttling for _, due in plan.dues):
            timers = self._schedule.timers
            plan.suppressed_until = await throttle(session, tenant, timers, plan.dues)
        plan.entries = [entry for entry in plan.entries if entry.due]
        await self._write_history(session, tenant, plan)
        entries = [stored(entry, self._process) for entry in plan.entries]
        await commands.insert(tenant.outbox, entries, session)
        return plan

    async def _write_history(self, session: AsyncClientSession, tenant: Tenant, plan: Plan) -> None:
        await commands.update_each(tenant.evolutions, plan.taken, session)
        await commands.delete(tenant.evolutions, plan.forgotten, session)
        await commands.update(tenant.evolutions, plan.evolutions, session)
        await commands.delete_each(tenant.packed, plan.opened, session)
        await commands.delete_all(tenant.packed, plan.dropped, session)
        await commands.insert(tenant.packed, plan.repacked, session)
        await commands.insert(tenant.history, plan.spilled, session)
        await commands.delete_each(tenant.history, plan.taken_out, session)
        await commands.delete_all(tenant.history, plan.erased, session)
        await commands.update_each(tenant.history, plan.rewritten, session)
        await commands.insert(tenant.history, plan.history, session)
        await commands.delete_all(tenant.moved, plan.strayed, session)
        await commands.update(tenant.moved, plan.moved, session)

    def _worked_out(self, writes: list[Write], found: dict[str, Stored], past: dict[str, Past]) -> Plan:
        """The plan of the group; of an entity there is either one revision in it or any number of rules."""
        rules = [write for write in writes if not write.is_revision]
        plan = work_out(rules, found, self._sink, self._clock, self._process, self._recording)
        outcomes = iter(plan.outcomes)
        plan.outcomes = [
            self._revised(write, past[write.entity_id], found.get(write.entity_id), plan)
            if write.is_revision
            else next(outcomes)
            for write in writes
        ]
        return plan

    def _revised(self, write: Write, past: Past, stored: Stored | None, plan: Plan) -> Any:
        """The outcome of a revision, whose statements go into the plan."""
        if stored is not None and stored.fault is not None:
            return stored.fault
        return revisions.work_out(write, past, stored, plan, self._clock)


async def _finish(session: AsyncClientSession, writes: list[Write]) -> None:
    """Commits. While the outcome is unknown it is asked for again, which is safe: it is idempotent.

    It is asked for until it is known, since what is due must be told if the commit went through, and the
    entities are kept from newer writes meanwhile; but the requesters are let go after a while.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        try:
            return await session.commit_transaction()
        except PyMongoError as error:
            # One that was ended by others may have been through, and waiting for the majority.
            is_known = not error.has_error_label("UnknownTransactionCommitResult")
            if is_known and _code(error) not in _ENDED:
                raise
        if loop.time() - began > _DOUBT:
            for write in writes:
                write.settle(Unavailable("the database does not say whether the write went through"))
        await asyncio.sleep(_PAUSE)


async def _abandon(session: AsyncClientSession) -> None:
    if session.in_transaction:
        try:
            await session.abort_transaction()
        except PyMongoError:
            return  # the server ends it by itself


def _meaning(error: Exception) -> Exception:
    """What an error of the driver means for the group."""
    if isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError"):
        return Away(str(error)) if isinstance(error, ConnectionFailure) else Conflict(str(error))
    if isinstance(error, ConnectionFailure):
        return Away(str(error))
    if isinstance(error, commands.Missed):
        return Conflict("what was to be revised has changed")
    code = _code(error)
    if code == _DUPLICATE_KEY:
        return Conflict(str(error))
    if code in _AGAIN:
        return Conflict(str(error))
    if isinstance(error, OperationFailure) and code not in _TOO_BIG:
        return Refused(str(error))
    return BadRequestData(f"entity: the database cannot hold it: {_first_line(error)}")


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None


def _first_line(error: Exception) -> str:
    return str(error).partition(", full error")[0].splitlines()[0][:200]
