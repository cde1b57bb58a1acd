"""Timers: when periodic subscriptions, and states that throttling suppressed, are due; for all tenants.

{_id: tenant and subscription, t: tenant, s: subscription, every, due, at: when to look at it, by: who does}
with times in µs, all of the server's clock; a suppressed state has `state` instead of `every`, and its
entity in the `_id`, too (see `throttling`). Whoever moves `at` first may see to it; if he dies, it is
anybody's again when `at` is over.
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
    """The timers, as the changes of subscriptions set them."""

    def __init__(self, client: AsyncMongoClient[Document], prefix: str, clock: Clock | None = None) -> None:
        self.timers: Collection = client[prefix]["timers"]
        self._clock = clock or Clock()
        self._expect: Callable[[int], None] | None = None

    def tell(self, expect: Callable[[int], None]) -> None:
        """Names who waits for timers in this process."""
        self._expect = expect

    def expect(self, due: int) -> None:
        """A timer was set to this time (µs)."""
        if self._expect is not None:
            self._expect(due)

    async def open(self) -> None:
        """Makes the collection and its indexes."""
        with reported():
            await self.timers.create_indexes(
                [IndexModel([(one, ASCENDING) for one in names]) for names in (["at"], ["by"], ["t", "s"])]
            )

    async def follow(
        self,
        session: AsyncClientSession,
        tenant: str,
        old: Subscription | None,
        new: Subscription | None,
    ) -> None:
        """Sets, keeps or removes the timers of a subscription, in the transaction that changes it.

        A periodic one is due one interval from now.
        """
        await self._follow_throttling(session, tenant, old, new)
        before, after, one = interval(old), interval(new), old or new
        if one is None or not before | after:
            return
        wanted = {"_id": key(tenant, one.id)}
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
        """Suppressed states go with their subscription; if its period changes, they are looked at anew."""
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
    """See `ports.Timers`. `lease`: seconds that a process has for what it claimed."""

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        schedule: Schedule,
        tenants: Tenants,
        process: str,
        lease: float,
    ) -> None:
        self._timers = schedule.timers
        self._unclear: dict[str, Entry] = {}  # by id
        self._processes = schedule.timers.database["processes"]
        self._transactions = Transactions(client)
        self._tenants = tenants
        self._process = process
        self._lease = round(lease * 1_000_000)

    def open(self) -> AsyncClientSession:
        """The session on which timers fire, for the list of processes."""
        return self._transactions.session

    async def claim(self, now: int) -> Timer | None:
        """See `ports.Timers.claim`."""
        until = {"$set": {"at": now + self._lease, "by": self._process}}
        with reported():
            found = await self._timers.find_one_and_update(
                {"at": {"$lte": now}}, until, sort=[("at", 1)], return_document=ReturnDocument.AFTER
            )
        return None if found is None else _timer(found)

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """See `ports.Timers.fire`."""
        handle = await self._tenants.obtain(timer.tenant)
        next_time = {"$set": {"due": due, "at": due, "by": ""}}

        async def all_of_it(session: AsyncClientSession) -> bool:
            moved = await self._timers.update_one(self._claimed(timer), next_time, session=session)
            if not moved.matched_count or await self._is_pending(handle.outbox, timer, session):
                return False
            await handle.outbox.insert_one(apart(entry), session=session)
            return True

        return await self._commit(entry, all_of_it)

    async def _is_pending(self, outbox: Collection, timer: Timer, session: AsyncClientSession) -> bool:
        """Whether some process has a report to deliver. One that no process knows is removed.

        The dead are in the list of processes until others have taken over what they had.
        """
        reports = {"e": timer.subscription, "report": True}
        if not (found := await outbox.find(reports, {"by": 1}, session=session).to_list()):
            return False
        known = {one["_id"] async for one in self._processes.find({}, {"_id": 1}, session=session)}
        known.add(self._process)
        orphans = [one["_id"] for one in found if one["by"] not in known]
        if orphans:
            log.warning("a report that nobody has is replaced", extra={"subscription": timer.subscription})
            await outbox.delete_many({"_id": {"$in": orphans}}, session=session)
        return len(orphans) < len(found)

    async def release(self, timer: Timer, period: int, entry: Entry) -> bool:
        """See `ports.Timers.release`."""
        handle = await self._tenants.obtain(timer.tenant)

        async def all_of_it(session: AsyncClientSession) -> bool:
            return await release(session, handle, self._timers, entry, period)

        return await self._commit(entry, all_of_it)

    async def _commit(self, entry: Entry, all_of_it: Callable[[AsyncClientSession], Awaitable[bool]]) -> bool:
        self._unclear[entry.id] = entry
        is_due = await self._transactions.run(all_of_it)
        del self._unclear[entry.id]
        return is_due

    async def unclear(self) -> list[Entry]:
        """See `ports.Timers.unclear`. A transaction of the same session ends the one that is in doubt."""
        found = []
        for entry in [*self._unclear.values()]:
            outbox = (await self._tenants.obtain(entry.tenant)).outbox
            wanted = {"_id": entry.id, "by": self._process}

            async def is_there(
                session: AsyncClientSession, outbox: Collection = outbox, wanted: Document = wanted
            ) -> bool:
                return await outbox.find_one(wanted, {"_id": 1}, session=session) is not None

            if await self._transactions.run(is_there):
                found.append(entry)
            del self._unclear[entry.id]
        return found

    async def drop(self, timer: Timer) -> None:
        """See `ports.Timers.drop`."""
        with reported():
            await self._timers.delete_one(self._claimed(timer))

    async def next(self) -> int | None:
        """See `ports.Timers.next`."""
        with reported():
            found = await self._timers.find_one({}, {"at": 1}, sort=[("at", 1)])
        return None if found is None else found["at"]

    def _claimed(self, timer: Timer) -> Document:
        """The timer, as long as nobody else has it, and its subscription did not change."""
        its_key = key(timer.tenant, timer.subscription, timer.entity)
        return {"_id": its_key, "by": self._process, "at": timer.until}


def _timer(document: Document) -> Timer:
    entity = document["state"]["e"] if "state" in document else None
    every = document.get("every", 0)
    return Timer(document["t"], document["s"], every, document["due"], document["at"], entity)


async def give_back(timers: Collection, process: str) -> None:
    """Makes everybody's again what a process had claimed when it died."""
    await timers.update_many({"by": process}, [{"$set": {"at": "$due", "by": ""}}])
