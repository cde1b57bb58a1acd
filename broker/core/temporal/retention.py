"""Retention: how long history is kept, by attribute and type. The operator configures it.

rule = ( "*" / attribute / "@" type / attribute "@" type ) "=" duration

The most specific rule applies: first attribute@type, then attribute, then @type, then *. Of rules that are
equally specific (an entity may have several types) the longest duration applies. Without a rule, history is
kept for ever.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from broker.core.errors import BadRequestData
from broker.core.temporal.aggregation_periods import parse as parse_duration

_MONTH = 2_629_746_000_000  # µs, a twelfth of the mean year


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """History of a type (IRI; None: any) and an attribute (IRI; None: any) is kept for `age` (µs)."""

    type: str | None
    attribute: str | None
    age: int


@dataclass(frozen=True, slots=True)
class Retention:
    """All the rules."""

    rules: Sequence[RetentionRule] = ()

    def age(self, types: Sequence[str], attribute: str) -> int | None:
        """How long (µs) the history of an attribute of an entity with these types is kept; None: for ever."""
        fitting = [
            rule
            for rule in self.rules
            if (rule.type is None or rule.type in types)
            and (rule.attribute is None or rule.attribute == attribute)
        ]
        ranks = [(rule.attribute is not None, rule.type is not None, rule.age) for rule in fitting]
        return max(ranks)[2] if ranks else None


def parse(texts: Iterable[str], expand: Callable[[str], str]) -> Retention:
    """The rules in texts. BadRequestData, which names the text, if one is not valid."""
    return Retention(tuple(_rule(text, expand) for text in texts))


def _rule(text: str, expand: Callable[[str], str]) -> RetentionRule:
    names, _, length = text.rpartition("=")
    attribute, separator, type_name = names.partition("@")
    if not names or bool(separator) != bool(type_name) or (separator and attribute == "*"):
        raise BadRequestData(f"{text!r}: expected attribute@type=duration, attribute=…, @type=… or *=…")
    duration = parse_duration(length, repr(text))
    if duration.is_whole:
        raise BadRequestData(f"{text!r}: expected a duration longer than 0")
    attribute_iri = expand(attribute) if attribute not in ("", "*") else None
    type_iri = expand(type_name) if type_name else None
    return RetentionRule(type_iri, attribute_iri, duration.months * _MONTH + duration.micros)
