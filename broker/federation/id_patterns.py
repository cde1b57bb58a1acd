"""Sources by a pattern of entity ids: found by an id, at the same cost for any number of patterns.

A pattern is found by its needle, a literal text that the id must contain. Patterns without one, and those
that share it with many others, are compiled together, some hundreds to a set that RE2 searches in one pass.
"""

from collections.abc import Iterator
from typing import Literal

import re2

from broker.core.federation.source import Source
from broker.core.lang import pattern
from broker.core.lang.needles import Needles, short_needle
from broker.federation.source_table import Group

_CROWD = 4  # patterns with one needle, above which others go into sets
_FULL = 512  # patterns of a set; to compile that many takes some milliseconds
_FEW = 4  # patterns of a set that are searched for one by one
_MEMORY = 32 << 20  # bytes that RE2 may take for a set


class IdPatterns:
    """Sources by patterns; a source may have several."""

    __slots__ = ("_groups", "_needles", "_sets")

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._needles: Needles[Group] = Needles()
        self._sets: list[PatternSet] = []

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, text: str, source: Source) -> None:
        """Adds a source under a pattern."""
        if (group := self._groups.get(text)) is None:
            group = self._groups[text] = {}
            self._place(text, group)
        group[source.id] = source

    def discard(self, text: str, source: Source) -> None:
        """Removes a source from a pattern, if it is there."""
        if (group := self._groups.get(text)) is None:
            return
        group.pop(source.id, None)
        if not group:
            del self._groups[text]
            self._displace(text)

    def found(self, entity_id: str) -> Iterator[Group]:
        """Yields the sources of each pattern that matches an id."""
        for groups in self._needles.within(entity_id):
            yield from (group for text, group in groups.items() if _matches(text, entity_id))
        for patterns in self._sets:
            yield from (self._groups[text] for text in patterns.matching(entity_id))

    def _place(self, text: str, group: Group) -> None:
        needle = short_needle(text)
        if needle and self._needles.crowd(needle) < _CROWD:
            self._needles.add(needle, text, group)
            return
        roomy = next((patterns for patterns in self._sets if len(patterns) < _FULL), None)
        if roomy is None:
            self._sets.append(roomy := PatternSet())
        roomy.add(text)

    def _displace(self, text: str) -> None:
        needle = short_needle(text)
        if self._needles.has(needle, text):
            self._needles.remove(needle, text)
            return
        holder = next(patterns for patterns in self._sets if text in patterns)
        holder.remove(text)
        if not holder:
            self._sets.remove(holder)


class PatternSet:
    """Patterns that are searched for together; compiled when they are first searched for."""

    __slots__ = ("_compiled", "_order", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._order: list[str] = []  # as they were compiled
        self._compiled: re2.Set | Literal[False] | None = None  # None: not yet; False: too large

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def add(self, text: str) -> None:
        """Adds a pattern."""
        self._texts[text] = None
        self._compiled = None

    def remove(self, text: str) -> None:
        """Removes a pattern."""
        del self._texts[text]
        self._compiled = None

    def matching(self, entity_id: str) -> list[str]:
        """The patterns that match an id."""
        if len(self._texts) > _FEW:
            if self._compiled is None:
                self._compile()
            numbers = self._compiled.Match(entity_id) if self._compiled else None
            # The last one matches everything: RE2 finds nothing at all where a set needs too much memory.
            if numbers and max(numbers) == len(self._order):
                return [self._order[number] for number in numbers if number < len(self._order)]
        return [text for text in self._texts if _matches(text, entity_id)]

    def _compile(self) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = _MEMORY
        self._order = [*self._texts]
        compiled = re2.Set.SearchSet(options)
        for text in (*map(pattern.portable, self._order), ""):
            compiled.Add(text)
        try:
            compiled.Compile()
            self._compiled = compiled
        except re2.error:
            self._compiled = False  # they are searched for one by one


def _matches(text: str, entity_id: str) -> bool:
    return pattern.compile(text).search(entity_id) is not None
