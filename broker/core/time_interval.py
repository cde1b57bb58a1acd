"""When a periodic subscription is due (timeInterval, clauses 5.2.12 and 5.8.6). All times in microseconds."""

from collections.abc import Iterator
from dataclasses import replace

from broker.core.query import Query
from broker.core.subscription import Subscription
from broker.core.trigger import trigger


def interval(subscription: Subscription | None) -> int:
    """Every how many microseconds it is due; 0 if it is not, or paused."""
    if subscription is None or subscription.body.is_active is False:
        return 0
    return round((subscription.body.time_interval or 0) * 1_000_000)


def next_due(due: int, every: int, now: int) -> int:
    """The first time of its grid that is still to come: what was missed is told once, not once each."""
    return due + every * max(1, (now - due) // every + 1)


def selections(subscription: Subscription) -> Iterator[Query]:
    """What to look for: each selector by itself. `Trigger.concerns` says which of what is found match."""
    compiled = trigger(subscription)
    conditions = Query(q=compiled.q, scope=compiled.scope, geo=compiled.geo)
    for selector in compiled.selectors:
        yield replace(conditions, types=selector.types, ids=tuple(selector.ids))
    if not subscription.body.entities:
        yield conditions
