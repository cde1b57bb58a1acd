"""Timers of all tenants: for periodic subscriptions, and for states that throttling suppressed.

A timer is {_id: tenant and subscription, t: tenant, s: subscription, every: interval, due: time, at: when it
can be claimed, by: the process that has claimed it}, with times in µs by the server's clock. The timer of a
suppressed state has `state` instead of `every`, and its entity in the `_id` (see `pending.throttles`). A
process claims a timer by moving `at` into the future. If the process dies, others can claim it after `at`.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pymongo import ASCENDING, AsyncMongoClient, IndexModel, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.clock import Clock
from broker.core.delivery.entry import Entry
from broker.core.subscription import Subscription
from broker.core.time_interval import interval
from broker.ports.subscriptions import Timer
from broker.store.pending.entries import apart
from broker.store.pending.throttles import key, release, suppressed_of
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenants
from broker.store.wire.transactions import Transactions

log = logging.getLogger(__name__)
Document = dict[str, Any]


class Schedule:
    """Sets and removes timers when subscriptions change."""

    def __init__(self, client: AsyncMongoClient[Document], prefix: str, clock: Clock | None = None) -> None:
        self.timers: Collection = client[prefix]["timers"]
        self._clock = clock or Clock()
        self._on_timer: Callable[[int], None] | None = None

    def on_timer(self, callback: Callable[[int], None]) -> None:
        """Sets a callback that gets the times of new timers (µs): the loop that waits for timers."""
        self._on_timer = callback

    def expect(self, due: int) -> None:
        """Announces a timer at the time `due` (µs) to the callback."""
        if self._on_timer is not None:
            self._on_timer(due)

    async def open(self) -> None:
        """Creates the collection and its indexes."""
        with reported():
            await self.timers.create_indexes(
                [IndexModel([(name, ASCENDING) for name in names]) for names in (["at"], ["by"], ["t", "s"])]
            )

    async def follow(
        self,
        session: AsyncClientSession,
        tenant: str,
        old: Subscription | None,
        new: Subscription | None,
    ) -> None:
        """Sets, keeps or removes the timers of a subscription, in the transaction that changes it.

        `old` is None for a new subscription, `new` for a deleted one. A new or changed interval begins now.
        """
        await self._follow_throttling(session, tenant, old, new)
        before, after, subscription = interval(old), interval(new), old or new
        if subscription is None or not before | after:
            return
        wanted = {"_id": key(tenant, subscription.id)}
        if new is None or not after:
            await self.timers.delete_one(wanted, session=session)
            return
        due = self._clock.server() + after
        values = {"t": tenant, "s": new.id, "every": after, "due": due, "at": due, "by": ""}
        how = "$setOnInsert" if before == after else "$set"
        await self.timers.update_one(wanted, {how: values}, upsert=True, session=session)

    async def _follow_throttling(
        self, session: AsyncClientSession, tenant: str, old: Subscription | None, new: Subscription | None
    ) -> None:
        """Removes suppressed states with their subscription; makes them due now if its throttling changes."""
        if old is None or old.body.throttling is None:
            return
        wanted = suppressed_of(tenant, old.id)
        if new is None:
            await self.timers.delete_many(wanted, session=session)
        elif new.body.throttling != old.body.throttling:
            now = self._clock.server()
            anew = {"$set": {"due": now, "at": now, "by": ""}}
            await self.timers.update_many(wanted, anew, session=session)


class MongoTimers:
    """See `ports.Timers`. `lease`: seconds for which a claim holds."""

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        schedule: Schedule,
        tenants: Tenants,
        process: str,
        lease: float,
    ) -> None:
        self._timers = schedule.timers
        self._unclear: dict[str, Entry] = {}  # by id: entries whose commit has no known result
        self._processes = schedule.timers.database["processes"]
        self._transactions = Transactions(client)
        self._tenants = tenants
        self._process = process
        self._lease = round(lease * 1_000_000)

    @property
    def session(self) -> AsyncClientSession:
        """The session of the transactions that fire timers, to be listed in `processes`."""
        return self._transactions.session

    async def claim(self, now: int) -> Timer | None:
        """See `ports.Timers.claim`."""
        until = {"$set": {"at": now + self._lease, "by": self._process}}
        with reported():
            claimed = await self._timers.find_one_and_update(
                {"at": {"$lte": now}}, until, sort=[("at", 1)], return_document=ReturnDocument.AFTER
            )
        return None if claimed is None else _timer(claimed)

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """See `ports.Timers.fire`."""
        handle = await self._tenants.obtain(timer.tenant)
        next_time = {"$set": {"due": due, "at": due, "by": ""}}

        async def work(session: AsyncClientSession) -> bool:
            moved = await self._timers.update_one(self._claimed(timer), next_time, session=session)
            if not moved.matched_count or await self._is_pending(handle.outbox, timer, session):
                return False
            await handle.outbox.insert_one(apart(entry), session=session)
            return True

        return await self._commit(entry, work)

    async def _is_pending(self, outbox: Collection, timer: Timer, session: AsyncClientSession) -> bool:
        """Whether a report of the timer's subscription is pending. Deletes reports of unknown processes.

        Dead processes stay in `processes` until others have taken over their entries.
        """
        wanted = {"e": timer.subscription, "report": True}
        if not (reports := await outbox.find(wanted, {"by": 1}, session=session).to_list()):
            return False
        known = {process["_id"] async for process in self._processes.find({}, {"_id": 1}, session=session)}
        known.add(self._process)
        orphans = [report["_id"] for report in reports if report["by"] not in known]
        if orphans:
            log.warning(
                "a report of an unknown process is replaced", extra={"subscription": timer.subscription}
            )
            await outbox.delete_many({"_id": {"$in": orphans}}, session=session)
        return len(orphans) < len(reports)

    async def release(self, timer: Timer, period: int, entry: Entry) -> bool:
        """See `ports.Timers.release`."""
        handle = await self._tenants.obtain(timer.tenant)

        async def work(session: AsyncClientSession) -> bool:
            return await release(session, handle, self._timers, entry, period)

        return await self._commit(entry, work)

    async def _commit(self, entry: Entry, work: Callable[[AsyncClientSession], Awaitable[bool]]) -> bool:
        """Runs `work` in a transaction. Returns whether it inserted the entry; unclear until it returns."""
        self._unclear[entry.id] = entry
        is_inserted = await self._transactions.run(work)
        del self._unclear[entry.id]
        return is_inserted

    async def unclear(self) -> list[Entry]:
        """See `ports.Timers.unclear`. Asks in the same session, which ends the transaction in doubt."""
        committed = []
        for entry in [*self._unclear.values()]:
            outbox = (await self._tenants.obtain(entry.tenant)).outbox
            wanted = {"_id": entry.id, "by": self._process}

            async def is_there(
                session: AsyncClientSession, outbox: Collection = outbox, wanted: Document = wanted
            ) -> bool:
                return await outbox.find_one(wanted, {"_id": 1}, session=session) is not None

            if await self._transactions.run(is_there):
                committed.append(entry)
            del self._unclear[entry.id]
        return committed

    async def drop(self, timer: Timer) -> None:
        """See `ports.Timers.drop`."""
        with reported():
            await self._timers.delete_one(self._claimed(timer))

    async def next(self) -> int | None:
        """See `ports.Timers.next`."""
        with reported():
            earliest = await self._timers.find_one({}, {"at": 1}, sort=[("at", 1)])
        return None if earliest is None else earliest["at"]

    def _claimed(self, timer: Timer) -> Document:
        """The filter for a timer while this process's claim holds and its subscription did not change."""
        timer_key = key(timer.tenant, timer.subscription, timer.entity)
        return {"_id": timer_key, "by": self._process, "at": timer.until}


def _timer(document: Document) -> Timer:
    entity = document["state"]["e"] if "state" in document else None
    every = document.get("every", 0)
    return Timer(document["t"], document["s"], every, document["due"], document["at"], entity)


async def give_back(timers: Collection, process: str) -> None:
    """Ends the claims of a dead process, so that others can claim its timers at once."""
    await timers.update_many({"by": process}, [{"$set": {"at": "$due", "by": ""}}])
