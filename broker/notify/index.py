"""The index of a tenant's subscriptions: it finds those that a change could trigger."""

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
    """The triggers of a tenant by key: ("id", entity id), or (type, attribute IRI) where None is any.

    `epoch` and `mark`: the epoch of the subscriptions in it; -1 before they are loaded. `subscribers`: all
    of the tenant by subscription id, paused ones too.
    """

    def __init__(self) -> None:
        self.epoch = -1
        self.mark = ""
        self.subscribers: dict[str, Subscriber] = {}
        self._keys: dict[str, set[Key]] = {}
        self._triggers: dict[Key, Bucket] = {}

    def update(self, changes: SubscriptionChanges) -> dict[str, Subscriber]:
        """Applies changes of subscriptions; returns the former subscribers of those changed or deleted."""
        changed = [subscription.id for subscription in changes.changed]
        replaced = [*self.subscribers] if changes.whole else [*changes.gone, *changed]
        old = {name: self.subscribers[name] for name in replaced if name in self.subscribers}
        for subscription_id in replaced:
            self._drop(subscription_id)
        for subscription in changes.changed:
            self.subscribers[subscription.id] = subscriber(subscription)
            body = subscription.body
            if body.is_active is not False and body.time_interval is None:
                self._add(subscription)
        self.epoch, self.mark = changes.epoch, changes.mark
        return old

    def triggered(self, change: Change) -> list[Triggered]:
        """The subscriptions that the change triggers, before throttling and their `condition` are applied."""
        if not self._triggers:
            return []
        happened = events(change)
        if not happened.all:
            return []
        triggered = []
        for candidate in self._candidates(change.entity, happened.attrs).values():
            if candidate.fires(change, happened):
                shows_changes = self.subscribers[candidate.id].parts.previous
                triggered.append(
                    Triggered(candidate.id, candidate.throttling, shows_changes, candidate.condition)
                )
        return triggered

    def _candidates(self, entity: Entity, touched: Collection[str]) -> dict[str, Trigger]:
        keys: list[Key] = [(_ID, entity["id"])]
        keys += [(kind, iri) for kind in (*entity["type"], None) for iri in (*touched, None)]
        candidates: dict[str, Trigger] = {}
        for key in keys:
            if (bucket := self._triggers.get(key)) is not None:
                for triggers in bucket.candidates(entity):
                    candidates |= triggers
        return candidates

    def _add(self, subscription: Subscription) -> None:
        try:
            compiled = trigger(subscription)
        except Exception:  # written by another version, say: it must not make each write of its tenant fail
            log.exception("a subscription cannot be compiled", extra={"subscription": subscription.id})
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
    """The index keys of a subscription. Every change that can trigger it has at least one of them."""
    body = subscription.body
    watched: Sequence[str | None] = body.watched_attributes or (None,)
    if not body.entities:
        yield from ((None, iri) for iri in watched)
    for selector in body.entities or ():
        if selector.id is not None:
            ids = [selector.id] if isinstance(selector.id, str) else selector.id
            yield from ((_ID, entity_id) for entity_id in ids)
        else:
            yield from ((kind, iri) for kind in selected_types(subscription, selector) for iri in watched)
