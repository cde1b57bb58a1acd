"""The times and queries of periodic subscriptions (timeInterval, 5.2.12 and 5.8.6). All times in µs."""

from collections.abc import Iterator
from dataclasses import replace

from broker.core.query import Query
from broker.core.subscription import Subscription
from broker.core.trigger import trigger


def interval(subscription: Subscription | None) -> int:
    """The interval (µs) of a periodic subscription; 0 for others, paused or deleted ones."""
    if subscription is None or subscription.body.is_active is False:
        return 0
    return round((subscription.body.time_interval or 0) * 1_000_000)


def next_due(due: int, every: int, now: int) -> int:
    """The first of the times `due + every`, `due + 2 * every`, … after `now`. Missed times are skipped."""
    return due + every * max(1, (now - due) // every + 1)


def selections(subscription: Subscription) -> Iterator[Query]:
    """Yields a query for each selector; `Trigger.concerns` decides which of the entities found match."""
    compiled = trigger(subscription)
    conditions = Query(q=compiled.q, scope=compiled.scope, geo=compiled.geo)
    for selector in compiled.selectors:
        yield replace(conditions, types=selector.types, ids=tuple(selector.ids))
    if not subscription.body.entities:
        yield conditions
