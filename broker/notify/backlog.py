"""Back-pressure: how many entries are pending, counted now and then, and whether there is room for more."""

import asyncio
from dataclasses import dataclass

from broker.core.errors import Unavailable
from broker.ports.delivery import Outbox

_PERIOD = 1.0  # seconds between counts
_SHARE = 20  # the least pause before the next count, in durations of the last one


@dataclass(slots=True)
class _Size:
    """The backlog of one tenant: the last count, what this process added since, and when to count again."""

    entries: int = 0
    since: int = 0
    next_count: float = 0.0


class Backlog:
    """Refuses writes that would add entries when too many are pending already: writers must slow down.

    Each process counts the entries that it adds and removes itself. Now and then it counts all pending
    entries, and so learns what other processes did. Therefore the limit may be exceeded a little.
    """

    def __init__(self, outbox: Outbox, limit: int) -> None:
        self._outbox = outbox
        self._limit = limit
        self._sizes: dict[str, _Size] = {}

    def admit(self, tenant: str) -> None:
        """Unavailable if no more entries may become pending."""
        size = self._sizes.get(tenant)
        if size is not None and size.entries + size.since >= self._limit:
            raise Unavailable(
                f"{size.entries + size.since} changes wait for delivery already; "
                "only writes that trigger no subscription are possible now"
            )

    def added(self, tenant: str) -> None:
        """Counts an entry that this process has committed."""
        self._sizes.setdefault(tenant, _Size()).since += 1

    def removed(self, tenant: str) -> None:
        """Counts an entry that is settled for all its subscriptions."""
        self._sizes.setdefault(tenant, _Size()).since -= 1

    async def count(self) -> None:
        """Counts the entries of tenants that have, or had, pending ones. Raises what `Outbox.count` does."""
        for tenant, size in list(self._sizes.items()):
            loop = asyncio.get_running_loop()
            began = loop.time()
            if began >= size.next_count and (size.entries or size.since):
                before, size.since = size.since, 0
                try:
                    size.entries = await self._outbox.count(tenant)
                except BaseException:
                    size.since += before
                    raise
                size.next_count = began + max(_PERIOD, _SHARE * (loop.time() - began))
