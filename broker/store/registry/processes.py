"""Processes and their leases: which processes are alive, and the takeover from dead ones.

A process that dies inside a transaction leaves it open, and its locks held. So each process has a document
with the sessions of its transactions and the end of its lease. A process that finds another one dead ends its
sessions at once, and takes over its pending entries and timers.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
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
_GONE = 0.0  # the end of a lease that was given up
_CLOSER = 60.0  # seconds, at least, between two searches for entries of unknown processes
_SHARE = 200  # the pause between two searches is at least this many times as long as a search takes
_RAN_OUT = {"$lte": ["$until", NOW]}
_JUDGED = {"sessions": 1, "until": 1, "ran_out": _RAN_OUT}
ALIVE: Document = {"$expr": {"$not": _RAN_OUT}}  # the filter for processes whose lease has not run out


class Processes:
    """The lease of this process, and the takeover from processes whose lease ran out.

    `lease` is its duration in seconds.
    """

    def __init__(self, client: Client, prefix: str, process: str, lease: float) -> None:
        self._client = client
        self._list = _collection(client, prefix)
        self._schedule = Schedule(client, prefix)
        self._process = process
        self._lease = lease
        self._seen: dict[str, tuple[float, float]] = {}  # other process: (end of its lease, since when seen)
        self.alive_since = inf  # monotonic time (s) from which on other processes know this one
        self._alive_until = 0.0  # monotonic time (s) up to which its lease lasts at least
        self._looks_closer_at = 0.0  # when to search for unknown processes: at the start and after an outage

    async def enter(self, sessions: list[AsyncClientSession]) -> None:
        """Inserts or replaces the document of this process, with the ids of its sessions."""
        ids = [session.session_id["id"] for session in sessions]
        began = time.monotonic()
        document = {"_id": self._process, "sessions": {"$literal": ids}, "until": in_seconds(self._lease)}
        with reported():
            await self._list.update_one({"_id": self._process}, [{"$replaceWith": document}], upsert=True)
        self.alive_since, self._alive_until = time.monotonic(), began + self._lease

    async def renew(self) -> bool:
        """Renews the lease and returns True; False if it has run out, so others may have taken over."""
        alive, began = {"_id": self._process, **ALIVE}, time.monotonic()
        with self._reported():
            result = await self._list.update_one(alive, [{"$set": {"until": in_seconds(self._lease)}}])
        if is_mine := result.matched_count == 1:
            self._alive_until = began + self._lease
        return is_mine

    def is_alive(self) -> bool:
        """Whether all other processes know that this one is alive."""
        return time.monotonic() < self._alive_until

    async def leave(self) -> None:
        """Gives up the lease, so that others take over the entries that are still pending."""
        with reported():
            await self._list.update_one({"_id": self._process}, {"$set": {"until": _GONE}})

    async def inherit(self, tenants: Tenants) -> bool:
        """Takes over from dead processes. Returns whether there were any.

        If two processes take over from the same one, each gets some of its entries. If one of the two dies
        meanwhile, others do the rest.
        """
        with self._reported():
            others = self._list.find({"_id": {"$ne": self._process}}, _JUDGED)
            dead = self._dead(await others.to_list())
            if (began := time.monotonic()) >= self._looks_closer_at:
                dead += await self._forgotten(tenants)
                self._looks_closer_at = began + max(_CLOSER, _SHARE * (time.monotonic() - began))
            for process in dead:
                await self._inherit(process, tenants)
        return bool(dead)

    def _dead(self, others: list[Document]) -> list[Document]:
        """The processes that gave up their lease, or whose lease ran out and was not renewed for a while.

        The wait of half a lease is needed because nobody can renew a lease during an outage of the database.
        Afterwards all leases have run out, and living processes need time to renew theirs.
        """
        now, before = time.monotonic(), self._seen
        self._seen = {other["_id"]: (other["until"], now) for other in others}
        for name, seen in self._seen.items():
            if name in before and before[name][0] == seen[0]:
                self._seen[name] = before[name]
        unchanged = {name for name, (_, since) in self._seen.items() if now - since >= self._lease / 2}
        return [
            other
            for other in others
            if other["until"] == _GONE or (other["ran_out"] and other["_id"] in unchanged)
        ]

    async def _forgotten(self, tenants: Tenants) -> list[Document]:
        """Processes that own pending entries but have no document: they committed after others took over.

        Until such entries are taken over, later entries of their entities and throttled subscriptions wait.
        """
        having_entries: set[str] = set()
        for name in await tenants.names():
            having_entries |= await owners(await tenants.obtain(name))
        known = {document["_id"] async for document in self._list.find({}, {"_id": 1})}
        return [{"_id": process, "sessions": []} for process in having_entries - known]

    async def _inherit(self, dead: Document, tenants: Tenants) -> None:
        """Takes over from one dead process, and deletes its document at the end."""
        await _end_sessions(self._client, dead["sessions"])
        for name in await tenants.names():
            await adopt(await tenants.obtain(name), dead["_id"], self._process)
        await give_back(self._schedule.timers, dead["_id"])
        await self._list.delete_one({"_id": dead["_id"]})

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """As `errors.reported`. After an error, forgets the leases seen before: an outage outdates them."""
        try:
            with reported():
                yield
        except BaseException:
            self._seen.clear()
            self._looks_closer_at = 0.0
            raise


async def end_process(client: Client, prefix: str, process_id: str) -> None:
    """Ends the lease and the sessions of a process that is known to be dead, so that others take over."""
    process = await _collection(client, prefix).find_one_and_update(
        {"_id": process_id}, {"$set": {"until": _GONE}}
    )
    if process is not None:
        await _end_sessions(client, process["sessions"])


async def _end_sessions(client: Client, ids: list[bytes]) -> None:
    if ids:
        await client.admin.command({"killSessions": [{"id": Binary(session, 4)} for session in ids]})


def _collection(client: Client, prefix: str) -> Collection:
    return client[prefix]["processes"]
