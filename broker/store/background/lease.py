"""Leases: the process that holds the lease of a task does that task for all processes.

The statements compare times on the server, by its clock. The clocks of the processes do not matter.
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from broker.store.wire.tenants import Collection

NOW: dict[str, Any] = {"$divide": [{"$toLong": "$$NOW"}, 1000]}  # the server's time in seconds


def in_seconds(seconds: float) -> dict[str, Any]:
    """The expression for the server's time (s) in `seconds` from now."""
    return {"$add": [NOW, seconds]}


class Lease:
    """A lease on the task `work` for `process`. Each call of `is_held` extends it by `seconds` from then."""

    def __init__(self, tasks: Collection, work: str, process: str, seconds: float) -> None:
        self._tasks = tasks
        self._work = work
        self._process = process
        self._seconds = seconds

    async def is_held(self) -> bool:
        """Whether this process holds the lease. Acquires it if it is free, extends it if it is held here."""
        until = in_seconds(self._seconds)
        # A lease that ends later than any could now was taken before the server's clock was set back.
        free = [
            {"$eq": ["$by", self._process]},
            {"$lt": [{"$ifNull": ["$until", 0]}, NOW]},
            {"$gt": ["$until", until]},
        ]
        is_mine = {"$cond": [{"$or": free}, {"by": self._process, "until": until}, {}]}
        try:
            lease = await self._tasks.find_one_and_update(
                {"_id": self._work},
                [{"$replaceWith": {"$mergeObjects": ["$$ROOT", is_mine]}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # another process inserted it at the same moment
            return False
        assert lease is not None, "upsert inserts it if it is missing"
        return bool(lease["by"] == self._process)

    async def give_up(self) -> None:
        """Releases the lease if this process holds it, so that another process can take it at once."""
        await self._tasks.update_one({"_id": self._work, "by": self._process}, {"$set": {"until": 0.0}})
