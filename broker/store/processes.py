"""Processes and their leases: who is alive, and what becomes of what the dead leave behind.

A process that dies inside a commit leaves its transaction open, and with it the locks on the entities.
So each process records its sessions under a lease; whoever learns of its death ends them at once, and takes
over its entries in the outbox.
"""

import time
from typing import Any

from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.errors import reported
from broker.store.tenants import Collection, Tenants

Client = AsyncMongoClient[dict[str, Any]]
_GONE = 0.0  # a lease that ran out long ago


class Processes:
    """This process's own lease, and the heritage of those that ran out."""

    def __init__(self, client: Client, prefix: str, process: str, lease: float) -> None:
        self._client = client
        self._list = _collection(client, prefix)
        self._process = process
        self._lease = lease

    async def enter(self, sessions: list[AsyncClientSession]) -> None:
        """Records this process and its sessions."""
        ids = [session.session_id["id"] for session in sessions]
        document = {"_id": self._process, "sessions": ids, "until": time.time() + self._lease}
        with reported():
            await self._list.replace_one({"_id": self._process}, document, upsert=True)

    async def renew(self) -> bool:
        """Renews the lease. False: it ran out, and others may have taken over."""
        alive = {"_id": self._process, "until": {"$gt": time.time()}}
        with reported():
            found = await self._list.update_one(alive, {"$set": {"until": time.time() + self._lease}})
        return found.matched_count == 1

    async def leave(self) -> None:
        """Gives the lease up; others take over what is left in the outbox."""
        with reported():
            await self._list.update_one({"_id": self._process}, {"$set": {"until": _GONE}})

    async def inherit(self, tenants: Tenants) -> bool:
        """Takes over from the processes whose lease ran out; True if there was anything.

        Two heirs of one process share what they find; one that dies in the middle leaves the rest to others.
        """
        with reported():
            dead = await self._list.find(
                {"until": {"$lt": time.time()}, "_id": {"$ne": self._process}}
            ).to_list()
            return any([await self._inherit(one, tenants) for one in dead])

    async def _inherit(self, dead: dict[str, Any], tenants: Tenants) -> bool:
        await _end_sessions(self._client, dead["sessions"])
        moved = 0
        for name in await tenants.names():
            outbox = (await tenants.obtain(name)).outbox
            moved += (
                await outbox.update_many({"by": dead["_id"]}, {"$set": {"by": self._process}})
            ).modified_count
        await self._list.delete_one({"_id": dead["_id"]})
        return moved > 0


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
