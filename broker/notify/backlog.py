"""How much waits in the outbox, and whether there is room for more: without asking for each write."""

import asyncio
from dataclasses import dataclass

from broker.core.errors import Unavailable
from broker.ports.delivery import Outbox

_PERIOD = 1.0  # seconds between counts
_SHARE = 20  # times as long as a count took, at least, until the next one


@dataclass(slots=True)
class _Size:
    """Of one tenant's outbox: the last count and what this process did since; and when to count again."""

    entries: int = 0
    since: int = 0
    next_count: float = 0.0


class Backlog:
    """Refuses what would be due when too much waits already: it is the writer who has to slow down.

    Each process counts what it adds and removes itself, and now and then the whole outbox, in which there is
    what the others did. So with several processes it may become a little longer than the limit.
    """

    def __init__(self, outbox: Outbox, limit: int) -> None:
        self._outbox = outbox
        self._limit = limit
        self._sizes: dict[str, _Size] = {}

    def admit(self, tenant: str) -> None:
        """Unavailable if nothing more may become due."""
        size = self._sizes.get(tenant)
        if size is not None and size.entries + size.since >= self._limit:
            raise Unavailable(
                f"{size.entries + size.since} changes wait to be told to subscribers already; "
                "what is due to nobody can be written"
            )

    def added(self, tenant: str) -> None:
        """An entry is in the outbox."""
        self._sizes.setdefault(tenant, _Size()).since += 1

    def removed(self, tenant: str) -> None:
        """An entry has been told."""
        self._sizes.setdefault(tenant, _Size()).since -= 1

    async def count(self) -> None:
        """Counts where there is, or was, something."""
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
