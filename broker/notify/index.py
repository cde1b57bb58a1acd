"""The subscriptions of a tenant, so arranged that a change looks only at those that could match."""

import logging
from collections.abc import Collection, Iterator, Sequence

from broker.core import Entity
from broker.core.change import Change, events
from broker.core.notification import Subscriber, subscriber
from broker.core.subscription import Subscription, selected_types
from broker.core.trigger import Trigger, trigger
from broker.notify.bucket import Bucket
from broker.ports.changes import SubscriptionChanges, Triggered

log = logging.getLogger(__name__)
Key = tuple[str | None, ...]
_ID = "id"


class Index:
    """Triggers under the keys by which a change finds them: an entity's id, or a type and an attribute.

    `epoch` and `mark` are those of the subscriptions it holds, -1 before the first were loaded.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.mark = ""
        self.subscribers: dict[str, Subscriber] = {}
        self._keys: dict[str, set[Key]] = {}
        self._triggers: dict[Key, Bucket] = {}

    def update(self, changes: SubscriptionChanges) -> dict[str, Subscriber]:
        """Takes in what changed; gives the subscribers that it knew, as they were."""
        gone = [*self.subscribers] if changes.whole else [*changes.gone, *(one.id for one in changes.changed)]
        old = {one: self.subscribers[one] for one in gone if one in self.subscribers}
        for subscription_id in gone:
            self._drop(subscription_id)
        for subscription in changes.changed:
            self.subscribers[subscription.id] = subscriber(subscription)
            body = subscription.body
            if body.is_active is not False and body.time_interval is None:
                self._add(subscription)
        self.epoch, self.mark = changes.epoch, changes.mark
        return old

    def triggered(self, change: Change) -> list[Triggered]:
        """The subscriptions that the change triggers, throttled or not."""
        if not self._triggers:
            return []
        happened = events(change)
        if not happened.all:
            return []
        found = []
        for one in self._candidates(change.entity, happened.attrs).values():
            if one.fires(change, happened):
                shows_changes = self.subscribers[one.id].interest.before
                found.append(Triggered(one.id, one.throttling, shows_changes, one.condition))
        return found

    def _candidates(self, entity: Entity, touched: Collection[str]) -> dict[str, Trigger]:
        keys: list[Key] = [(_ID, entity["id"])]
        keys += [(kind, iri) for kind in (*entity["type"], None) for iri in (*touched, None)]
        found: dict[str, Trigger] = {}
        for key in keys:
            if (bucket := self._triggers.get(key)) is not None:
                for triggers in bucket.candidates(entity):
                    found |= triggers
        return found

    def _add(self, subscription: Subscription) -> None:
        try:
            compiled = trigger(subscription)
        except Exception:  # of another version, say: it must not fail every write of its tenant
            log.exception("a subscription is not understood", extra={"subscription": subscription.id})
            return
        keys = self._keys[subscription.id] = set(_keys(subscription))  # selectors may share some
        for key in keys:
            self._triggers.setdefault(key, Bucket()).add(compiled)

    def _drop(self, subscription_id: str) -> None:
        self.subscribers.pop(subscription_id, None)
        for key in self._keys.pop(subscription_id, ()):
            bucket = self._triggers[key]
            bucket.remove(subscription_id)
            if not bucket:
                del self._triggers[key]


def _keys(subscription: Subscription) -> Iterator[Key]:
    """Under what a subscription is found; at least one of these is a key of each change that triggers it."""
    body = subscription.body
    watched: Sequence[str | None] = body.watched_attributes or (None,)
    if not body.entities:
        yield from ((None, iri) for iri in watched)
    for selector in body.entities or ():
        if selector.id is not None:
            yield from (
                (_ID, one) for one in ([selector.id] if isinstance(selector.id, str) else selector.id)
            )
        else:
            yield from ((kind, iri) for kind in selected_types(subscription, selector) for iri in watched)
