"""Why a subscription would not be told of a change (an extension: the specification has none of it)."""

from broker.core import Entity
from broker.core.change import ATTRIBUTE_UPDATED, Change, Events
from broker.core.subscription import Subscription
from broker.core.throttling import is_throttled
from broker.core.trigger import trigger


def stopped_by(
    subscription: Subscription, entity: Entity, last: int | None, now: str, server: int
) -> str | None:
    """What of a subscription stops a notification if all attributes of an entity were updated now.

    None if nothing does. `last`: when (µs) a throttled one was last due, by the clock that says `server` now.
    """
    status, body = subscription.status(now), subscription.body
    if status != "active":
        return "expiresAt" if status == "expired" else "isActive"
    if body.time_interval is not None:  # it is told when its time has come, and not of changes
        return "timeInterval"
    updated = dict.fromkeys(entity["attrs"], ATTRIBUTE_UPDATED)
    compiled = trigger(subscription)
    events = Events(updated, 0, ATTRIBUTE_UPDATED if updated else 0)
    if unmet := compiled.unmet(Change(entity["id"], entity, entity, now), events):
        return unmet
    if is_throttled(last, server, compiled.throttling):
        return "throttling"
    return None
