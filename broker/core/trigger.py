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
from broker.core.change import (
    events as events_of,
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

    `datasets`: the datasetIds of the instances that it is of ("@none" for the default one); None for all.
    `condition` is the `q` again, if it looks at linked entities: who asks here has to judge that, too.
    """

    id: str
    selectors: tuple[Selector, ...]
    watched: frozenset[str]
    mask: int
    datasets: frozenset[str] | None
    q: Q | None
    condition: Q | None
    scope: ScopeQuery | None
    geo: GeoQuery | None
    throttling: int
    expires: str | None

    def fires(self, change: Change, events: Events) -> bool:
        """Whether a change is due to the subscriber, by what happened in it; but for its `condition`."""
        if not self.mask & events.all:
            return False
        if self.datasets is not None:
            events = events_of(change, self.datasets)
        return self.unmet(change.entity, events, change.now, holds=True) is None

    def unmet(self, entity: Entity, events: Events, now: str, *, holds: bool) -> str | None:
        """The first member of the subscription that a change does not meet; None if it is due.

        The order is that of the questions that a person would ask. `holds`: whether the `condition` does.
        """
        if self.expires is not None and self.expires <= now:
            return "expiresAt"
        if not self._selects(entity):
            return "entities"
        if self.watched and self.watched.isdisjoint(events.attrs):
            return "watchedAttributes"
        if not self._waits_for(events):
            return "notificationTrigger"
        return self._stopped_by(entity, holds=holds)

    def concerns(self, entity: Entity) -> bool:
        """Whether the subscription is of the entity as it is, whatever happened; a `condition` holds."""
        return self._selects(entity) and self._stopped_by(entity, holds=True) is None

    def _selects(self, entity: Entity) -> bool:
        return not self.selectors or any(selector.selects(entity) for selector in self.selectors)

    def _stopped_by(self, entity: Entity, *, holds: bool) -> str | None:
        if self.q is not None and not (holds if self.condition is not None else matches(self.q, entity)):
            return "q"
        if self.geo is not None and not is_placed(self.geo, entity["attrs"]):
            return "geoQ"
        if self.scope is not None and not scope.matches(self.scope, entity.get("scope", ())):
            return "scopeQ"
        return None

    def _waits_for(self, events: Events) -> bool:
        """What it waits for happened to a watched attribute; without those all are watched (5.8.1)."""
        if not self.watched:
            return bool(self.mask & events.all)
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
        frozenset(body.dataset_id) if body.dataset_id is not None else None,
        q,
        q if q is not None and depth(q) else None,
        None if body.scope_q is None else scope.parse(body.scope_q),
        compiled_geo_q(subscription),
        subscription.throttling,
        instant.parse(body.expires_at) if body.expires_at else None,
    )
