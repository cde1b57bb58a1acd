"""Processes and their leases: who is alive, and what becomes of what the dead leave behind.

A process that dies inside a transaction leaves it open, and with it the locks on what it wrote. So each
process records the sessions of its transactions under a lease; whoever learns of its death ends them at once,
and takes over its entries.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.background.lease import NOW, in_seconds
from broker.store.pending.outbox import adopt, owners
from broker.store.registry.timers import Schedule, give_back
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenants

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
_GONE = 0.0  # a lease that ran out long ago
_CLOSER = 60.0  # seconds between two closer looks, and how many times as long as a look took, at least
_SHARE = 200
_RAN_OUT = {"$lte": ["$until", NOW]}
_JUDGED = {"sessions": 1, "until": 1, "ran_out": _RAN_OUT}
ALIVE: Document = {"$expr": {"$not": _RAN_OUT}}  # the filter for processes whose lease has not run out


class Processes:
    """This process's own lease, and the heritage of those that ran out."""

    def __init__(self, client: Client, prefix: str, process: str, lease: float) -> None:
        self._client = client
        self._list = _collection(client, prefix)
        self._schedule = Schedule(client, prefix)
        self._process = process
        self._lease = lease
        self._seen: dict[str, tuple[float, float]] = {}  # the lease of each other process, and since when
        self._looks_closer_at = 0.0  # for what was forgotten: at first, after an outage, and now and then

    async def enter(self, sessions: list[AsyncClientSession]) -> None:
        """Records this process and its sessions."""
        ids = [session.session_id["id"] for session in sessions]
        document = {"_id": self._process, "sessions": {"$literal": ids}, "until": in_seconds(self._lease)}
        with reported():
            await self._list.update_one({"_id": self._process}, [{"$replaceWith": document}], upsert=True)

    async def renew(self) -> bool:
        """Renews the lease. False: it ran out, and others may have taken over."""
        alive = {"_id": self._process, **ALIVE}
        with self._reported():
            found = await self._list.update_one(alive, [{"$set": {"until": in_seconds(self._lease)}}])
        return found.matched_count == 1

    async def leave(self) -> None:
        """Gives the lease up; others take over what is left in the outbox."""
        with reported():
            await self._list.update_one({"_id": self._process}, {"$set": {"until": _GONE}})

    async def inherit(self, tenants: Tenants) -> bool:
        """Takes over from the processes that are dead; True if there were any.

        Two heirs of one process share what they find; one that dies in the middle leaves the rest to others.
        """
        with self._reported():
            others = self._list.find({"_id": {"$ne": self._process}}, _JUDGED)
            dead = self._dead(await others.to_list())
            if (began := time.monotonic()) >= self._looks_closer_at:
                dead += await self._forgotten(tenants)
                self._looks_closer_at = began + max(_CLOSER, _SHARE * (time.monotonic() - began))
            for one in dead:
                await self._inherit(one, tenants)
        return bool(dead)

    def _dead(self, others: list[Document]) -> list[Document]:
        """Those who gave their lease up, and those whose lease ran out and stayed so for a while.

        For a while, since nobody can renew a lease while the database is away: then all run out, and those
        who live must have the time to come back.
        """
        now, before = time.monotonic(), self._seen
        self._seen = {one["_id"]: (one["until"], now) for one in others}
        for name, seen in self._seen.items():
            if name in before and before[name][0] == seen[0]:
                self._seen[name] = before[name]
        stayed = {name for name, (_, since) in self._seen.items() if now - since >= self._lease / 2}
        return [one for one in others if one["until"] == _GONE or (one["ran_out"] and one["_id"] in stayed)]

    async def _forgotten(self, tenants: Tenants) -> list[Document]:
        """Processes that nobody knows any more, and whose last commit came after they were taken for dead.

        Until they are found, what follows such a commit waits: the next of its entity, and of a throttled
        subscription.
        """
        makers: set[str] = set()
        for name in await tenants.names():
            makers |= await owners(await tenants.obtain(name))
        known = {one["_id"] async for one in self._list.find({}, {"_id": 1})}
        return [{"_id": one, "sessions": []} for one in makers - known]

    async def _inherit(self, dead: Document, tenants: Tenants) -> None:
        await _end_sessions(self._client, dead["sessions"])
        for name in await tenants.names():
            await adopt(await tenants.obtain(name), dead["_id"], self._process)
        await give_back(self._schedule.timers, dead["_id"])
        await self._list.delete_one({"_id": dead["_id"]})

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Raises the driver's errors as what they mean. What was seen before an outage says nothing after."""
        try:
            with reported():
                yield
        except BaseException:
            self._seen.clear()
            self._looks_closer_at = 0.0
            raise


async def end_process(client: Client, prefix: str, process_id: str) -> None:
    """Ends the sessions of a process that is known to be dead, and its lease, so that others take over."""
    found = await _collection(client, prefix).find_one_and_update(
        {"_id": process_id}, {"$set": {"until": _GONE}}
    )
    if found is not None:
        await _end_sessions(client, found["sessions"])


async def _end_sessions(client: Client, ids: list[bytes]) -> None:
    if ids:
        await client.admin.command({"killSessions": [{"id": Binary(one, 4)} for one in ids]})


def _collection(client: Client, prefix: str) -> Collection:
    return client[prefix]["processes"]
