"""Leases: work in the background that one process at a time does, for all."""

import time

from pymongo.errors import DuplicateKeyError

from broker.store.tenants import Collection


class Lease:
    """The right to do some work, for `seconds` from each time that it is asked for."""

    def __init__(self, tasks: Collection, work: str, process: str, seconds: float) -> None:
        self._tasks = tasks
        self._work = work
        self._process = process
        self._seconds = seconds

    async def is_held(self) -> bool:
        """Whether this process is the one that does the work; takes or prolongs the lease if it may."""
        now = time.time()
        free = {"_id": self._work, "$or": [{"by": self._process}, {"until": {"$lt": now}}]}
        mine = {"$set": {"by": self._process, "until": now + self._seconds}}
        try:
            await self._tasks.update_one(free, mine, upsert=True)
        except DuplicateKeyError:  # there is one, and it is another process's
            return False
        return True
