"""Explains why a change does not trigger a subscription (an extension, not in the specification)."""

from broker.core import Entity
from broker.core.change import ATTRIBUTE_UPDATED, Events
from broker.core.entity.instances import of_datasets
from broker.core.subscription import Subscription
from broker.core.throttling import is_throttled
from broker.core.trigger import Trigger, trigger


def stopped_by(
    subscription: Subscription, entity: Entity, last: int | None, now: str, server: int, *, holds: bool = True
) -> str | None:
    """The member that prevents a notification if all attributes of the entity were updated now; or None.

    Members are checked in the order in which a person would do it: active, not expired, type and id, watched
    attributes, trigger, q, geoQ, scopeQ, throttling. `last`: the last notification (µs) of a
    throttled subscription; `server`: the present time (µs) by the same clock; `holds`: whether a condition on
    linked entities holds.
    """
    if subscription.body.is_active is False:
        return "isActive"
    if subscription.status(now) == "expired":
        return "expiresAt"
    if subscription.body.time_interval is not None:  # changes do not trigger it, only its timer does
        return "timeInterval"
    compiled = trigger(subscription)
    if unmet := compiled.unmet(entity, _update(entity, compiled), now, holds=holds):
        return unmet
    if is_throttled(last, server, subscription.throttling):
        return "throttling"
    return None


def _update(entity: Entity, compiled: Trigger) -> Events:
    """The events of an update of all attributes, except those without an instance that counts."""
    attrs = entity["attrs"]
    if compiled.datasets is not None:
        attrs = dict(of_datasets(attrs.items(), compiled.datasets))
    return Events(dict.fromkeys(attrs, ATTRIBUTE_UPDATED), 0, ATTRIBUTE_UPDATED if attrs else 0)
