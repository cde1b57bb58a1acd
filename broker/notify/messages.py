"""Messages: entries rendered as notifications, with headers, for one subscriber."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

import orjson

from broker.core import Entity
from broker.core.entity.linked_entities import Join
from broker.core.entity.view import View
from broker.core.errors import NgsiLdError, TooManyResults
from broker.core.notification import Content, Subscriber, notification
from broker.notify.notification_data import DataRenderings
from broker.ports.changes import Entry
from broker.ports.contexts import ContextLoader
from broker.ports.delivery import DeliveryFailed, Message

log = logging.getLogger(__name__)

Links = Callable[[str, Sequence[Entity], View, Join], Awaitable[Sequence[tuple[Entity, View]]]]
Report = Callable[[str, str], AsyncIterator[list[Entity]]]


class Messages:
    """Renders entries as messages.

    `links(tenant, entities, view, join)` reads linked entities, each with its view. `report(tenant,
    subscription)` reads the entities for a periodic subscription, a list for each notification.
    """

    def __init__(self, contexts: ContextLoader, links: Links, report: Report) -> None:
        self._contexts = contexts
        self._links = links
        self._report = report
        self._renderings = DataRenderings()

    async def of(self, entry: Entry, to: Subscriber, now: str) -> AsyncIterator[Message]:
        """Yields the messages of an entry for a subscriber: one, but any number for a report.

        `now`: the `notifiedAt` of the notification. DeliveryFailed if its @context or its entities cannot be
        read now.
        """
        if not entry.is_report:
            yield await self._message(entry, to, [entity for entity, _ in entry.states()], now)
            return
        try:
            async for entities in self._report(entry.tenant, to.id):
                yield await self._message(entry, to, entities, now)
        except NgsiLdError as error:
            raise DeliveryFailed(f"the entities: {error.detail}") from error

    async def _message(self, entry: Entry, to: Subscriber, entities: list[Entity], now: str) -> Message:
        try:
            context = await self._contexts.resolve(to.context, entry.tenant)
        except NgsiLdError as error:
            raise DeliveryFailed(f"the @context of the subscription: {error.detail}") from error
        linked = await self._linked(to, entry.tenant, entities)
        content = Content(entities, {entity["id"]: previous for entity, previous in entry.states()}, linked)
        rendered = self._renderings.of(entry, to, content, context)
        headers = [("Content-Type", rendered.content_type)]
        if rendered.link:
            headers.append(("Link", rendered.link))
        if entry.tenant:
            headers.append(("NGSILD-Tenant", entry.tenant))
        if entry.cut:
            headers.append(("NGSILD-Warning", f'299 - "{entry.cut}"'))
        headers += to.headers
        notification_id = f"urn:ngsi-ld:Notification:{uuid4()}"
        body = notification(to, orjson.Fragment(rendered.data), notification_id, now)
        return Message(to.uri, tuple(headers), orjson.dumps(body), to.notifier)

    async def _linked(
        self, to: Subscriber, tenant: str, entities: list[Entity]
    ) -> Sequence[tuple[Entity, View]]:
        """The linked entities as they are now; none if they are too many, so that the rest is delivered."""
        alive = [entity for entity in entities if "deletedAt" not in entity]
        if to.join is None or not alive:
            return ()
        try:
            return await self._links(tenant, alive, to.view, to.join)
        except TooManyResults as error:
            log.warning("linked entities are left out", extra={"subscription": to.id, "reason": error.detail})
            return ()
        except NgsiLdError as error:
            raise DeliveryFailed(f"the linked entities: {error.detail}") from error
