"""A bucket: the triggers under one key of the index, sorted by what else an entity needs to match them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broker.core import Entity
from broker.core.lang.needles import Needles, short_needle
from broker.core.lang.needs import Between, OneOf, needs, values
from broker.core.trigger import Trigger
from broker.notify.intervals import Intervals

_FEW = 4  # triggers that are candidates each time, rather than sorted by their needs
_CROWD = 64  # triggers with the same need, above which a range is the better place for one more
Triggers = dict[str, Trigger]


class Bucket:
    """Triggers by subscription: a few that are candidates each time, and a sieve for the others."""

    __slots__ = ("_few", "_sieve")

    def __init__(self) -> None:
        self._few: Triggers = {}
        self._sieve: Sieve | None = None

    def __bool__(self) -> bool:
        return bool(self._few) or self._sieve is not None

    def add(self, trigger: Trigger) -> None:
        """Adds a trigger."""
        if len(self._few) < _FEW:
            self._few[trigger.id] = trigger
            return
        if self._sieve is None:
            self._sieve = Sieve()
        self._sieve.add(trigger)

    def remove(self, subscription_id: str) -> None:
        """Removes a trigger."""
        if self._few.pop(subscription_id, None) is None and self._sieve is not None:
            self._sieve.remove(subscription_id)
            if not self._sieve:
                self._sieve = None

    def candidates(self, entity: Entity) -> Iterator[Triggers]:
        """Yields the triggers that could fire for the entity, in parts that may overlap."""
        yield self._few
        if self._sieve is not None:
            yield from self._sieve.candidates(entity)


@dataclass(frozen=True, slots=True)
class Needle:
    """The entity's id contains this text."""

    text: str


TriggerNeed = OneOf | Between | Needle | None


class Sieve:
    """Triggers by one necessary condition: a value of an attribute, a number in a range, or a text in the id.

    A trigger for which no such condition is known is a candidate each time.
    """

    def __init__(self) -> None:
        self._needs: dict[str, TriggerNeed] = {}
        self._rest: Triggers = {}
        self._one_of: dict[str, dict[Any, Triggers]] = {}
        self._needles: Needles[Trigger] = Needles()
        self._between: dict[str, Intervals] = {}
        self._in_between: Triggers = {}

    def __bool__(self) -> bool:
        return bool(self._needs)

    def add(self, trigger: Trigger) -> None:
        """Adds a trigger under the need that it shares with the fewest others."""
        name = trigger.id
        need = self._needs[name] = self._need(trigger)
        match need:
            case OneOf(iri, wanted):
                by_value = self._one_of.setdefault(iri, {})
                for value in wanted:
                    by_value.setdefault(value, {})[name] = trigger
            case Needle(text):
                self._needles.add(text, name, trigger)
            case Between(iri, low, high):
                self._in_between[name] = trigger
                self._between.setdefault(iri, Intervals()).add(name, low, high)
            case None:
                self._rest[name] = trigger

    def remove(self, name: str) -> None:
        """Removes a trigger."""
        need = self._needs.pop(name)
        match need:
            case OneOf(iri, wanted):
                for value in wanted:
                    _drop(self._one_of[iri], value, name)
                if not self._one_of[iri]:
                    del self._one_of[iri]
            case Needle(text):
                self._needles.remove(text, name)
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
        yield from self._needles.within(entity["id"])
        for iri in entity["attrs"].keys() & self._between.keys():
            numbers = [value for value in values(entity, iri) if isinstance(value, int | float)]
            if numbers:
                names = self._between[iri].overlapping(min(numbers), max(numbers))
                yield {name: self._in_between[name] for name in names}

    def _with_values(self, entity: Entity) -> Iterator[Triggers]:
        for iri in entity["attrs"].keys() & self._one_of.keys():
            by_value = self._one_of[iri]
            yield from (by_value[value] for value in values(entity, iri) if value in by_value)

    def _need(self, trigger: Trigger) -> TriggerNeed:
        needed: list[tuple[int, TriggerNeed]] = []  # how many triggers have each need already
        if text := short_needle(_pattern(trigger)):
            needed.append((self._needles.crowd(text), Needle(text)))
        for need in needs(trigger.q):
            if isinstance(need, OneOf):
                by_value = self._one_of.get(need.iri, {})
                needed.append((max(len(by_value.get(value, ())) for value in need.values), need))
            else:
                needed.append((_CROWD, need))
        return min(needed, key=lambda pair: pair[0])[1] if needed else None


def _pattern(trigger: Trigger) -> str:
    """The `idPattern` that every entity must match for the trigger to fire; "" if there is none."""
    return (trigger.selectors[0].id_pattern or "") if len(trigger.selectors) == 1 else ""


def _drop(triggers: dict[Any, Triggers], key: object, name: str) -> None:
    del triggers[key][name]
    if not triggers[key]:
        del triggers[key]
