"""Tallies of context sources: counted in memory, and added to the stored ones now and then."""

from collections.abc import Callable, Collection, Iterable, Mapping

from broker.core.federation.source_tally import SourceTally
from broker.core.federation.step import Fault, Reply
from broker.ports.sources import SourceTallyStore

_SUCCESS = range(200, 300)  # HTTP statuses


class Tallies:
    """The tallies of all registrations. `now()`: the present instant."""

    def __init__(self, store: SourceTallyStore, now: Callable[[], str]) -> None:
        self._store = store
        self._now = now
        self._counts: dict[str, dict[str, SourceTally]] = {}  # by tenant and registration

    def note(self, tenant: str, replies: Iterable[Reply]) -> None:
        """Counts what came of requests; sources that were spared a request were not asked."""
        now = self._now()
        for reply in replies:
            if reply.fault is not Fault.COOLING:
                counts = self._counts.setdefault(tenant, {})
                tally = counts.setdefault(reply.step.match.source.id, SourceTally())
                tally.note(now, has_failed=reply.fault is not None or reply.status not in _SUCCESS)

    async def of(self, tenant: str, registration_ids: Collection[str]) -> Mapping[str, SourceTally]:
        """The tallies of those that were asked: all requests of this process, and those of others that are
        stored.
        """
        await self._flush(tenant)
        return await self._store.tallies(tenant, registration_ids)

    async def flush(self) -> None:
        """Adds all counts to the stored tallies."""
        for tenant in [*self._counts]:
            await self._flush(tenant)

    async def _flush(self, tenant: str) -> None:
        """If that fails, it keeps the counts for the next time and raises."""
        counts = self._counts.pop(tenant, {})
        if not counts:
            return
        try:
            await self._store.add_tallies(tenant, counts)
        except BaseException:
            kept = self._counts.setdefault(tenant, {})
            for registration_id, tally in counts.items():
                kept.setdefault(registration_id, SourceTally()).add(tally)
            raise
