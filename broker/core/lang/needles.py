"""Needles: things by a text that each of them needs, found where that text occurs in another one."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from broker.core.lang.needs import needle

_Thing = TypeVar("_Thing")
_LONGEST = 8  # characters of a needle that are searched for


def short_needle(pattern: str) -> str:
    """The end of the literal text that every match of a pattern contains; "" if none is found."""
    return needle(pattern)[-_LONGEST:]


class Needles(Generic[_Thing]):
    """Named things by their needle. A search costs the same for any number of them."""

    __slots__ = ("_by_text", "_lengths")

    def __init__(self) -> None:
        self._by_text: dict[str, dict[str, _Thing]] = {}
        self._lengths: dict[int, int] = {}  # the lengths of needles, and how many things have each

    def add(self, text: str, name: str, thing: _Thing) -> None:
        """Adds a thing under a needle, under which none of this name is."""
        self._lengths[len(text)] = self._lengths.get(len(text), 0) + 1
        self._by_text.setdefault(text, {})[name] = thing

    def remove(self, text: str, name: str) -> None:
        """Removes a thing that is there."""
        del self._by_text[text][name]
        if not self._by_text[text]:
            del self._by_text[text]
        self._lengths[len(text)] -= 1
        if not self._lengths[len(text)]:
            del self._lengths[len(text)]

    def has(self, text: str, name: str) -> bool:
        """Whether a thing of this name is under a needle."""
        return name in self._by_text.get(text, ())

    def crowd(self, text: str) -> int:
        """How many things are under a needle."""
        return len(self._by_text.get(text, ()))

    def within(self, text: str) -> Iterator[dict[str, _Thing]]:
        """Yields the things by name, for each needle in a text."""
        for length in self._lengths:
            for at in range(len(text) - length + 1):
                if (things := self._by_text.get(text[at : at + length])) is not None:
                    yield things
