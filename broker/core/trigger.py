"""Whether a change triggers a subscription (clause 5.8.6)."""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.core import Entity, instant
from broker.core.change import (
    ATTRIBUTE_CREATED,
    ATTRIBUTE_DELETED,
    ATTRIBUTE_UPDATED,
    ENTITY_CREATED,
    ENTITY_DELETED,
    Change,
    Events,
)
from broker.core.lang import scope
from broker.core.lang.geo import GeoQuery
from broker.core.lang.match import is_placed, matches
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Q, depth
from broker.core.selector import Selector, selector
from broker.core.subscription import Subscription, compiled_geo_q, compiled_q

EVENTS = {
    "entityCreated": ENTITY_CREATED,
    "entityUpdated": ATTRIBUTE_CREATED | ATTRIBUTE_UPDATED | ATTRIBUTE_DELETED,
    "entityDeleted": ENTITY_DELETED,
    "attributeCreated": ATTRIBUTE_CREATED,
    "attributeUpdated": ATTRIBUTE_UPDATED,
    "attributeDeleted": ATTRIBUTE_DELETED,
}
DEFAULT = ("attributeCreated", "attributeUpdated")


def mask(triggers: Iterable[str] | None) -> int:
    """The events that a `notificationTrigger` names, in flags; those of the default without one (5.2.12)."""
    found = 0
    for one in DEFAULT if triggers is None else triggers:
        found |= EVENTS[one]
    return found


@dataclass(frozen=True, slots=True)
class Trigger:
    """A subscription, compiled for the question of whether it fires.

    `condition` is the `q` again, if it looks at linked entities: who asks here has to judge that, too.
    """

    id: str
    selectors: tuple[Selector, ...]
    watched: frozenset[str]
    mask: int
    q: Q | None
    condition: Q | None
    scope: ScopeQuery | None
    geo: GeoQuery | None
    throttling: int
    expires: str | None

    def fires(self, change: Change, events: Events) -> bool:
        """Whether a change is due to the subscriber, by what happened in it; but for its `condition`."""
        return self.unmet(change, events) is None

    def unmet(self, change: Change, events: Events) -> str | None:
        """The first member of the subscription that a change does not meet; None if it is due."""
        if not self.mask & events.all:
            return "notificationTrigger"
        if self.watched and not self._is_watched(events):
            return "watchedAttributes"
        if self.expires is not None and self.expires <= change.now:
            return "expiresAt"
        return self.stopped_by(change.entity)

    def stopped_by(self, entity: Entity) -> str | None:
        """The member of the subscription that the entity does not meet, whatever happened to it; or None.

        A `condition` is taken for met.
        """
        if self.selectors and not any(selector.selects(entity) for selector in self.selectors):
            return "entities"
        if self.scope is not None and not scope.matches(self.scope, entity.get("scope", ())):
            return "scopeQ"
        if self.q is not None and self.condition is None and not matches(self.q, entity):
            return "q"
        if self.geo is not None and not is_placed(self.geo, entity["attrs"]):
            return "geoQ"
        return None

    def _is_watched(self, events: Events) -> bool:
        """What it waits for happened to a watched attribute; without those all are watched (5.8.1)."""
        attrs, is_whole = events.attrs, self.mask & events.entity
        return any(one in attrs and (is_whole or self.mask & attrs[one]) for one in self.watched)


def trigger(subscription: Subscription) -> Trigger:
    """The compiled form of a subscription."""
    body, names = subscription.body, subscription.names
    q = compiled_q(subscription)
    return Trigger(
        subscription.id,
        tuple(selector(one, names["entities"].__getitem__) for one in body.entities or ()),
        frozenset(body.watched_attributes or ()),
        mask(body.notification_trigger),
        q,
        q if q is not None and depth(q) else None,
        None if body.scope_q is None else scope.parse(body.scope_q),
        compiled_geo_q(subscription),
        subscription.throttling,
        instant.parse(body.expires_at) if body.expires_at else None,
    )
