"""The index of a tenant's context sources: it finds those that a request concerns."""

from collections.abc import Collection

from broker.core import instant
from broker.core.federation.matching import Spec, match
from broker.core.federation.source import Match, Source
from broker.ports.sources import SourceChanges


class SourceIndex:
    """See `ports.Registry`.

    `epoch` and `mark`: the epoch of the registrations in it; -1 before they are loaded. `sources`: all of the
    tenant by id.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.mark = ""
        self.sources: dict[str, Source] = {}

    def update(self, changes: SourceChanges) -> None:
        """Applies changes of registrations."""
        changed = [source.id for source in changes.changed]
        for source_id in [*self.sources] if changes.whole else [*changes.gone, *changed]:
            self.sources.pop(source_id, None)
        self.sources |= {source.id: source for source in changes.changed}
        self.epoch, self.mark = changes.epoch, changes.mark

    def drop_expired(self, now: str) -> None:
        """Removes the sources that have expired, which are found no more in any case."""
        for source in [*self.sources.values()]:
            if source.expires is not None and instant.ceiling(source.expires) <= now:
                del self.sources[source.id]

    def concerned(self, spec: Spec, via: Collection[str], now: str) -> list[Match]:
        """See `ports.Registry.concerned`."""
        candidates = (source for source in self.sources.values() if source.alias not in via)
        matches = (match(source, spec, now) for source in candidates)
        return sorted((one for one in matches if one is not None), key=lambda found: found.source.id)
