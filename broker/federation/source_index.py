"""The index of a tenant's context sources: it finds those that a request concerns.

A request that names ids looks into a dict of ids, into the patterns, and among the sources of any id of
its types and attributes. One that names no id looks at all sources of these. `match` decides on what is left.
"""

from collections.abc import Collection, Iterator

from broker.core import instant
from broker.core.federation.matching import Choice, Spec, match
from broker.core.federation.source import Match, Source, SourceEntity
from broker.federation.id_patterns import IdPatterns
from broker.federation.source_table import Group, SourceTable
from broker.ports.sources import SourceChanges

_ANY = SourceEntity()
_EVERY_ID = frozenset(("", ".*", "^.*", ".*$", "^.*$", ".+"))  # patterns that say nothing


class SourceIndex:
    """See `ports.Registry`.

    `epoch` and `mark`: the epoch of the registrations in it; -1 before they are loaded. `sources`: all of the
    tenant by id.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.mark = ""
        self.sources: Group = {}
        self._of_id: dict[str, tuple[Source, ...]] = {}  # by entity id
        self._of_any_id = SourceTable()
        self._of_some_ids = SourceTable()  # those in `_of_id` and `_patterns`
        self._patterns = IdPatterns()

    def update(self, changes: SourceChanges) -> None:
        """Applies changes of registrations; where they are `whole`, to an empty index."""
        for source_id in (*changes.gone, *(source.id for source in changes.changed)):
            if source_id in self.sources:
                self._remove(self.sources[source_id])
        for source in changes.changed:
            self._add(source)
        self.epoch, self.mark = changes.epoch, changes.mark

    def drop_expired(self, now: str) -> None:
        """Removes the sources that have expired, which are found no more in any case."""
        for source in [*self.sources.values()]:
            if source.expires is not None and instant.ceiling(source.expires) <= now:
                self._remove(source)

    def concerned(self, spec: Spec, via: Collection[str], now: str) -> list[Match]:
        """See `ports.Registry.concerned`."""
        candidates: Group = {}
        for choice in spec.choices or (spec.choice,):
            for group in self._candidates(choice, spec.attrs):
                candidates |= group
        matches = []
        for _, source in sorted(candidates.items()) if len(candidates) > 1 else candidates.items():
            if (source.alias is None or source.alias not in via) and (found := match(source, spec, now)):
                matches.append(found)
        return matches

    def _candidates(self, choice: Choice, attrs: frozenset[str]) -> Iterator[Group]:
        yield from self._of_any_id.found(choice.types, attrs)
        if not choice.ids:
            yield from self._of_some_ids.found(choice.types, attrs)
            return
        for entity_id in choice.ids:
            if (sources := self._of_id.get(entity_id)) is not None:
                yield {source.id: source for source in sources}
            if self._patterns:
                yield from self._patterns.found(entity_id)

    def _add(self, source: Source) -> None:
        self.sources[source.id] = source
        for entity, attrs in _entities(source):
            self._table(entity).add(entity.types, attrs, source)
            if entity.id is not None:
                others = (other for other in self._of_id.get(entity.id, ()) if other is not source)
                self._of_id[entity.id] = (*others, source)
            elif entity.id_pattern is not None:
                self._patterns.add(entity.id_pattern, source)

    def _remove(self, source: Source) -> None:
        del self.sources[source.id]
        for entity, attrs in _entities(source):
            self._table(entity).discard(entity.types, attrs, source)
            if entity.id is not None:
                others = tuple(other for other in self._of_id.pop(entity.id, ()) if other is not source)
                self._of_id |= {entity.id: others} if others else {}
            elif entity.id_pattern is not None:
                self._patterns.discard(entity.id_pattern, source)

    def _table(self, entity: SourceEntity) -> SourceTable:
        is_of_any = entity.id is None and entity.id_pattern is None
        return self._of_any_id if is_of_any else self._of_some_ids


def _entities(source: Source) -> Iterator[tuple[SourceEntity, frozenset[str]]]:
    """The EntityInfos of a source, each with the attributes of its element of information."""
    for info in source.infos:
        for entity in info.entities or (_ANY,):
            says_nothing = entity.id is None and entity.id_pattern in _EVERY_ID
            yield SourceEntity(entity.types) if says_nothing else entity, info.attrs
