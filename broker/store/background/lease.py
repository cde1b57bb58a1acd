"""Leases: work in the background that one process at a time does, for all.

They are judged by the server's clock alone, in the statements themselves: what time a process believes it is
does not matter.
"""

from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from broker.store.wire.tenants import Collection

NOW: dict[str, Any] = {"$divide": [{"$toLong": "$$NOW"}, 1000]}  # the server's time in seconds


def in_seconds(seconds: float) -> dict[str, Any]:
    """The server's time so many seconds from now."""
    return {"$add": [NOW, seconds]}


class Lease:
    """The right to do some work, for `seconds` from each time that it is asked for."""

    def __init__(self, tasks: Collection, work: str, process: str, seconds: float) -> None:
        self._tasks = tasks
        self._work = work
        self._process = process
        self._seconds = seconds

    async def is_held(self) -> bool:
        """Whether this process is the one that does the work; takes or prolongs the lease if it may."""
        until = in_seconds(self._seconds)
        # One that lasts longer than any can was taken before the server's clock was put back.
        free = [
            {"$eq": ["$by", self._process]},
            {"$lt": [{"$ifNull": ["$until", 0]}, NOW]},
            {"$gt": ["$until", until]},
        ]
        is_mine = {"$cond": [{"$or": free}, {"by": self._process, "until": until}, {}]}
        try:
            found = await self._tasks.find_one_and_update(
                {"_id": self._work},
                [{"$replaceWith": {"$mergeObjects": ["$$ROOT", is_mine]}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # another process made it at the same moment
            return False
        assert found is not None, "it is made if it is missing"
        return bool(found["by"] == self._process)

    async def give_up(self) -> None:
        """Gives it up, if this process has it: another one may go on at once."""
        await self._tasks.update_one({"_id": self._work, "by": self._process}, {"$set": {"until": 0.0}})
