"""Whether a change triggers a subscription (clause 5.8.6)."""

from collections.abc import Set
from dataclasses import dataclass

from broker.core import Entity, instant
from broker.core.change import Change
from broker.core.lang import q as q_language
from broker.core.lang import types as type_language
from broker.core.lang.match import matches
from broker.core.lang.pattern import Pattern
from broker.core.lang.pattern import compile as compile_pattern
from broker.core.lang.terms import Q
from broker.core.subscription import EntitySelector, Subscription


@dataclass(frozen=True, slots=True)
class Selector:
    """An EntitySelector, compiled: an entity matches by type, and by id if any, else by pattern if any."""

    types: type_language.TypeSelection
    ids: frozenset[str]
    pattern: Pattern | None

    def selects(self, entity: Entity) -> bool:
        """Whether the entity is one of those selected; an id beats a pattern (5.2.33)."""
        if self.ids:
            if entity["id"] not in self.ids:
                return False
        elif self.pattern is not None and not self.pattern.search(entity["id"]):
            return False
        return type_language.matches(self.types, entity["type"])


@dataclass(frozen=True, slots=True)
class Trigger:
    """A subscription, compiled for the question of whether it fires."""

    id: str
    selectors: tuple[Selector, ...]
    watched: frozenset[str]
    q: Q | None
    throttling: int
    expires: str | None

    def fires(self, change: Change, touched: Set[str]) -> bool:
        """Whether the change of the attributes `touched` (created or updated) is due to the subscriber."""
        after = change.after
        if after is None or (self.expires is not None and self.expires <= change.now):
            return False
        if not (self.watched & touched if self.watched else touched):  # without: all are watched (5.8.1)
            return False
        if self.selectors and not any(selector.selects(after) for selector in self.selectors):
            return False
        return self.q is None or matches(self.q, after)


def trigger(subscription: Subscription) -> Trigger:
    """The compiled form of a subscription."""
    body, names = subscription.body, subscription.names
    return Trigger(
        subscription.id,
        tuple(_selector(one, names) for one in body.entities or ()),
        frozenset(body.watched_attributes or ()),
        None if body.q is None else q_language.parse(body.q, names.__getitem__),
        round((body.throttling or 0) * 1_000_000),
        instant.parse(body.expires_at) if body.expires_at else None,
    )


def _selector(selector: EntitySelector, names: dict[str, str]) -> Selector:
    ids = [selector.id] if isinstance(selector.id, str) else selector.id or ()
    pattern = compile_pattern(selector.id_pattern) if selector.id_pattern else None
    return Selector(type_language.parse(selector.type, names.__getitem__), frozenset(ids), pattern)
