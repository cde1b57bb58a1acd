"""Triggers of one type and attribute, so arranged that those which need something else are not looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broker.core import Entity
from broker.core.lang.needs import Between, OneOf, needle, needs, values
from broker.core.trigger import Trigger
from broker.notify.intervals import Intervals

_FEW = 4  # triggers that are looked at each time, rather than arranged
_LONGEST = 8  # characters of a needle that are looked for
_CROWD = 64  # triggers that need the same, from which on another thing they need is asked for
Triggers = dict[str, Trigger]


class Bucket:
    """Triggers by subscription: a few that are looked at each time, and a sieve for more than those."""

    __slots__ = ("_few", "_sieve")

    def __init__(self) -> None:
        self._few: Triggers = {}
        self._sieve: Sieve | None = None

    def __bool__(self) -> bool:
        return bool(self._few) or self._sieve is not None

    def add(self, trigger: Trigger) -> None:
        """Puts a trigger in."""
        if len(self._few) < _FEW:
            self._few[trigger.id] = trigger
            return
        if self._sieve is None:
            self._sieve = Sieve()
        self._sieve.add(trigger)

    def remove(self, subscription_id: str) -> None:
        """Takes a trigger out."""
        if self._few.pop(subscription_id, None) is None and self._sieve is not None:
            self._sieve.remove(subscription_id)
            if not self._sieve:
                self._sieve = None

    def candidates(self, entity: Entity) -> Iterator[Triggers]:
        """The triggers that could fire for the entity, in parts; some may be in several."""
        yield self._few
        if self._sieve is not None:
            yield from self._sieve.candidates(entity)


@dataclass(frozen=True, slots=True)
class Needle:
    """The entity's id contains this text."""

    text: str


Place = OneOf | Between | Needle | None


class Sieve:
    """Triggers by what they need: a value of an attribute, a text in the entity's id, or a number in a range.

    What a trigger needs nothing of, or what cannot be told, is looked at each time.
    """

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._rest: Triggers = {}
        self._one_of: dict[str, dict[Any, Triggers]] = {}
        self._needles: dict[Any, Triggers] = {}
        self._lengths: dict[int, int] = {}  # of needles, and how many there are of each
        self._between: dict[str, Intervals] = {}
        self._in_between: Triggers = {}

    def __bool__(self) -> bool:
        return bool(self._places)

    def add(self, trigger: Trigger) -> None:
        """Puts a trigger where the fewest others are that need the same."""
        name = trigger.id
        place = self._places[name] = self._place(trigger)
        match place:
            case OneOf(iri, wanted):
                by_value = self._one_of.setdefault(iri, {})
                for value in wanted:
                    by_value.setdefault(value, {})[name] = trigger
            case Needle(text):
                self._lengths[len(text)] = self._lengths.get(len(text), 0) + 1
                self._needles.setdefault(text, {})[name] = trigger
            case Between(iri, low, high):
                self._in_between[name] = trigger
                self._between.setdefault(iri, Intervals()).add(name, low, high)
            case None:
                self._rest[name] = trigger

    def remove(self, name: str) -> None:
        """Takes a trigger out."""
        place = self._places.pop(name)
        match place:
            case OneOf(iri, wanted):
                for value in wanted:
                    _drop(self._one_of[iri], value, name)
                if not self._one_of[iri]:
                    del self._one_of[iri]
            case Needle(text):
                _drop(self._needles, text, name)
                self._lengths[len(text)] -= 1
                if not self._lengths[len(text)]:
                    del self._lengths[len(text)]
            case Between(iri):
                del self._in_between[name]
                self._between[iri].discard(name)
                if not self._between[iri]:
                    del self._between[iri]
            case None:
                del self._rest[name]

    def candidates(self, entity: Entity) -> Iterator[Triggers]:
        """See `Bucket.candidates`."""
        yield self._rest
        yield from self._with_values(entity)
        yield from self._with_needles(entity["id"])
        for iri in entity["attrs"].keys() & self._between.keys():
            numbers = [one for one in values(entity, iri) if isinstance(one, int | float)]
            if numbers:
                found = self._between[iri].overlapping(min(numbers), max(numbers))
                yield {name: self._in_between[name] for name in found}

    def _with_values(self, entity: Entity) -> Iterator[Triggers]:
        for iri in entity["attrs"].keys() & self._one_of.keys():
            by_value = self._one_of[iri]
            yield from (by_value[one] for one in values(entity, iri) if one in by_value)

    def _with_needles(self, entity_id: str) -> Iterator[Triggers]:
        for length in self._lengths:
            for at in range(len(entity_id) - length + 1):
                if (found := self._needles.get(entity_id[at : at + length])) is not None:
                    yield found

    def _place(self, trigger: Trigger) -> Place:
        places: list[tuple[int, Place]] = []
        if text := needle(_pattern(trigger))[-_LONGEST:]:
            places.append((len(self._needles.get(text, ())), Needle(text)))
        for need in needs(trigger.q):
            if isinstance(need, OneOf):
                by_value = self._one_of.get(need.iri, {})
                places.append((max(len(by_value.get(one, ())) for one in need.values), need))
            else:
                places.append((_CROWD, need))
        return min(places, key=lambda one: one[0])[1] if places else None


def _pattern(trigger: Trigger) -> str:
    """The pattern that the id of whatever entity it fires for has; "" if there is none in particular."""
    return (trigger.selectors[0].id_pattern or "") if len(trigger.selectors) == 1 else ""


def _drop(triggers: dict[Any, Triggers], key: object, name: str) -> None:
    del triggers[key][name]
    if not triggers[key]:
        del triggers[key]
