"""Triggers: compiled subscriptions that decide whether a change triggers a notification (clause 5.8.6)."""

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
    """The flags of the events that a `notificationTrigger` names; of the default events for None (5.2.12)."""
    flags = 0
    for event in DEFAULT if triggers is None else triggers:
        flags |= EVENTS[event]
    return flags


@dataclass(frozen=True, slots=True)
class Trigger:
    """A subscription, compiled to decide whether a change triggers it.

    `watched`: IRIs of the watched attributes; empty: all are watched. `mask`: flags of the triggering events.
    `datasets`: datasetIds of the instances that count ("@none": the default instance); None: all count.
    `condition`: the `q` again if it looks at linked entities; the caller has to evaluate it then.
    `throttling`: in µs. `expires`: the instant at which the subscription expires; None: never.
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
        """Whether a change with these events triggers the subscription, if its `condition` holds."""
        if not self.mask & events.all:
            return False
        if self.datasets is not None:
            events = events_of(change, self.datasets)
        return self.unmet(change.entity, events, change.now, holds=True) is None

    def unmet(self, entity: Entity, events: Events, now: str, *, holds: bool) -> str | None:
        """The first member of the subscription that the change does not meet; None if it triggers.

        They are checked in the order in which a person would do it. `holds`: whether the `condition` holds.
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
        """Whether the entity meets the subscription, whatever happened to it; a `condition` counts as met."""
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
        """Whether an event of the mask happened to a watched attribute; by default all are (5.8.1)."""
        if not self.watched:
            return bool(self.mask & events.all)
        attrs, is_whole = events.attrs, self.mask & events.entity
        return any(iri in attrs and (is_whole or self.mask & attrs[iri]) for iri in self.watched)


def trigger(subscription: Subscription) -> Trigger:
    """The trigger of a subscription."""
    body, names = subscription.body, subscription.names
    q = compiled_q(subscription)
    return Trigger(
        subscription.id,
        tuple(
            selector(entity_selector, names["entities"].__getitem__)
            for entity_selector in body.entities or ()
        ),
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
