"""Entries of the outbox made into messages: all that a subscriber is sent."""

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
    """Makes messages.

    `links` reads what entities of a tenant link to; `report` reads all that a periodic subscription of a
    tenant tells of.
    """

    def __init__(self, contexts: ContextLoader, links: Links, report: Report) -> None:
        self._contexts = contexts
        self._links = links
        self._report = report
        self._renderings = DataRenderings()

    async def of(self, entry: Entry, to: Subscriber, now: str) -> AsyncIterator[Message]:
        """What the subscriber is sent of an entry, at this instant; a report may be several, or none.

        Raises DeliveryFailed if something that belongs into it cannot be had.
        """
        if not entry.is_report:
            yield await self._message(entry, to, [one for one, _ in entry.states()], now)
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
        content = Content(entities, {one["id"]: was for one, was in entry.states()}, linked)
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
        """What entities link to, as it is now. Too much of it is left out, rather than never told."""
        alive = [one for one in entities if "deletedAt" not in one]
        if to.join is None or not alive:
            return ()
        try:
            return await self._links(tenant, alive, to.shape, to.join)
        except TooManyResults as error:
            log.warning("linked entities are left out", extra={"subscription": to.id, "reason": error.detail})
            return ()
        except NgsiLdError as error:
            raise DeliveryFailed(f"the linked entities: {error.detail}") from error
