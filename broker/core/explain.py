"""Why a subscription would not be told of a change (an extension: the specification has none of it)."""

from broker.core import Entity
from broker.core.change import ATTRIBUTE_UPDATED, Events
from broker.core.entity.instances import of_datasets
from broker.core.subscription import Subscription
from broker.core.throttling import is_throttled
from broker.core.trigger import Trigger, trigger


def stopped_by(
    subscription: Subscription, entity: Entity, last: int | None, now: str, server: int, *, holds: bool = True
) -> str | None:
    """The member that stops a notification if all attributes of an entity were updated now; or None.

    It is the first one in the order in which a person would ask: active, not expired, type and id, watched
    attributes, trigger, q, geoQ, scopeQ, throttling. `last`: when (µs) a throttled subscription was last due,
    by the clock that says `server` now; `holds`: whether a condition on linked entities does.
    """
    if subscription.body.is_active is False:
        return "isActive"
    if subscription.status(now) == "expired":
        return "expiresAt"
    if subscription.body.time_interval is not None:  # it is told when its time has come, and not of changes
        return "timeInterval"
    compiled = trigger(subscription)
    if unmet := compiled.unmet(entity, _update(entity, compiled), now, holds=holds):
        return unmet
    if is_throttled(last, server, subscription.throttling):
        return "throttling"
    return None


def _update(entity: Entity, compiled: Trigger) -> Events:
    """An update of all attributes of the entity that have instances which the subscription is of."""
    attrs = entity["attrs"]
    if compiled.datasets is not None:
        attrs = dict(of_datasets(attrs.items(), compiled.datasets))
    return Events(dict.fromkeys(attrs, ATTRIBUTE_UPDATED), 0, ATTRIBUTE_UPDATED if attrs else 0)
