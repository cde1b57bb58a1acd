"""The timers of periodic subscriptions: when each is due next, in one collection for all tenants.

{_id: tenant and subscription, t: tenant, s: subscription, every, due, at: when to look at it, by: who does}
with times in µs, all of the server's clock. Whoever moves `at` first may see to it; if he dies, it is
anybody's again when `at` is over.
"""

from typing import Any

from pymongo import ASCENDING, AsyncMongoClient, IndexModel, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.clock import Clock
from broker.core.periods import interval
from broker.core.subscription import Subscription
from broker.ports.changes import Entry
from broker.ports.subscriptions import Timer
from broker.store.entries import stored
from broker.store.errors import reported
from broker.store.tenants import Collection, Tenants

Document = dict[str, Any]


class Schedule:
    """The timers, as the changes of subscriptions set them."""

    def __init__(self, client: AsyncMongoClient[Document], prefix: str, clock: Clock | None = None) -> None:
        self.timers: Collection = client[prefix]["timers"]
        self._clock = clock or Clock()

    async def open(self) -> None:
        """Makes the collection and its indexes."""
        with reported():
            await self.timers.create_indexes(
                [IndexModel([("at", ASCENDING)]), IndexModel([("by", ASCENDING)])]
            )

    async def follow(
        self,
        session: AsyncClientSession,
        tenant: str,
        old: Subscription | None,
        new: Subscription | None,
    ) -> None:
        """Sets, keeps or removes the timer of a subscription, in the transaction that changes it.

        It is due one interval from now.
        """
        before, after, one = interval(old), interval(new), old or new
        if one is None or not before | after:
            return
        wanted = {"_id": _key(tenant, one.id)}
        if new is None or not after:
            await self.timers.delete_one(wanted, session=session)
            return
        due = self._clock.server() + after
        values = {"t": tenant, "s": new.id, "every": after, "due": due, "at": due, "by": ""}
        how = "$setOnInsert" if before == after else "$set"
        await self.timers.update_one(wanted, {how: values}, upsert=True, session=session)


def _key(tenant: str, subscription_id: str) -> str:
    return f"{tenant} {subscription_id}"


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
        self._session = client.start_session()
        self._tenants = tenants
        self._process = process
        self._lease = round(lease * 1_000_000)

    def open(self) -> AsyncClientSession:
        """The session on which timers fire, for the list of processes."""
        return self._session

    async def claim(self, now: int) -> Timer | None:
        """See `ports.Timers.claim`."""
        until = {"$set": {"at": now + self._lease, "by": self._process}}
        with reported():
            found = await self._timers.find_one_and_update(
                {"at": {"$lte": now}}, until, sort=[("at", 1)], return_document=ReturnDocument.AFTER
            )
        return (
            None
            if found is None
            else Timer(found["t"], found["s"], found["every"], found["due"], found["at"])
        )

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """See `ports.Timers.fire`."""
        handle = await self._tenants.obtain(timer.tenant)
        next_time = {"$set": {"due": due, "at": due, "by": ""}}

        async def all_of_it(session: AsyncClientSession) -> bool:
            moved = await self._timers.update_one(self._claimed(timer), next_time, session=session)
            earlier = {"e": entry.entity["id"], "report": True}
            if not moved.matched_count or await handle.outbox.find_one(earlier, {"_id": 1}, session=session):
                return False
            await handle.outbox.insert_one(stored(entry, self._process), session=session)
            return True

        with reported():
            return await self._session.with_transaction(all_of_it)

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
        return {"_id": _key(timer.tenant, timer.subscription), "by": self._process, "at": timer.until}


async def give_back(timers: Collection, process: str) -> None:
    """Makes everybody's again what a process had claimed when it died."""
    await timers.update_many({"by": process}, [{"$set": {"at": "$due", "by": ""}}])
