"""Sources by the types and attributes of what they may have; None is any."""

from collections.abc import Collection, Iterator

from broker.core.federation.source import Source

Group = dict[str, Source]  # by id


class SourceTable:
    """Sources under (type, attribute), each an IRI or None."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[str | None, dict[str | None, Group]] = {}

    def add(self, types: Collection[str], attrs: Collection[str], source: Source) -> None:
        """Adds a source under each of the types and each of the attributes; none of them: any."""
        for name in types or (None,):
            by_attr = self._groups.setdefault(name, {})
            for attr in attrs or (None,):
                by_attr.setdefault(attr, {})[source.id] = source

    def discard(self, types: Collection[str], attrs: Collection[str], source: Source) -> None:
        """Removes a source from these places, as far as it is there."""
        for name in types or (None,):
            by_attr = self._groups.get(name, {})
            for attr in attrs or (None,):
                if (group := by_attr.get(attr)) is not None:
                    group.pop(source.id, None)
                    if not group:
                        del by_attr[attr]
            if not by_attr:
                self._groups.pop(name, None)

    def found(self, types: Collection[str] | None, attrs: Collection[str]) -> Iterator[Group]:
        """Yields the sources that may have one of the types (None: any) and of the attributes (none: any)."""
        groups = self._groups
        names: Collection[str | None] = groups.keys() if types is None else (*types, None)
        for by_attr in (groups[name] for name in names if name in groups):
            if attrs:
                yield from (by_attr[attr] for attr in (*attrs, None) if attr in by_attr)
            else:
                yield from by_attr.values()
