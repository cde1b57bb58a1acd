"""Retention: for how long history is kept, by attribute and type. The operator's choice.

rule = ( "*" / attribute / "@" type / attribute "@" type ) "=" duration

The rule that says most decides: of an attribute of a type, of an attribute, of a type, of everything. Of two
that say as much, as an entity may be of several types, the longer one does. Without a rule history is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from broker.core.errors import BadRequestData
from broker.core.temporal.aggregation_periods import parse as parse_duration

_MONTH = 2_629_746_000_000  # µs, a twelfth of the mean year


@dataclass(frozen=True, slots=True)
class Rule:
    """History of a type (IRI, None: of any) and an attribute (IRI, None: all) is kept for `age` (µs)."""

    type: str | None
    attribute: str | None
    age: int


@dataclass(frozen=True, slots=True)
class Retention:
    """All the rules there are."""

    rules: Sequence[Rule] = ()

    def age(self, types: Sequence[str], attribute: str) -> int | None:
        """For how long (µs) the history of an attribute is kept, of an entity of types; None: for ever."""
        fitting = [
            one
            for one in self.rules
            if (one.type is None or one.type in types)
            and (one.attribute is None or one.attribute == attribute)
        ]
        ranks = [(one.attribute is not None, one.type is not None, one.age) for one in fitting]
        return max(ranks)[2] if ranks else None


def parse(texts: Iterable[str], expand: Callable[[str], str]) -> Retention:
    """The rules that texts say. BadRequestData names the one that is wrong."""
    return Retention(tuple(_rule(text, expand) for text in texts))


def _rule(text: str, expand: Callable[[str], str]) -> Rule:
    names, _, length = text.rpartition("=")
    attribute, at, of = names.partition("@")
    if not names or bool(at) != bool(of) or (at and attribute == "*"):
        raise BadRequestData(f"{text!r}: expected attribute@type=duration, attribute=…, @type=… or *=…")
    duration = parse_duration(length, repr(text))
    if duration.is_whole:
        raise BadRequestData(f"{text!r}: expected a duration that is more than nothing")
    attribute_iri = expand(attribute) if attribute not in ("", "*") else None
    return Rule(expand(of) if of else None, attribute_iri, duration.months * _MONTH + duration.micros)
