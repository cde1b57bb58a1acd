"""Stored subscriptions, and the epoch of a tenant: a number that each change of its subscriptions raises.

One transaction changes the subscription and the epoch, whose document is among the entities. Each group
commit reads the epoch together with its entities, and loads changed subscriptions first. So a write that
begins after a subscription was acknowledged takes it into account, in every process.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from broker.core import Json
from broker.core.errors import AlreadyExists, ResourceNotFound
from broker.core.subscription import Subscription
from broker.core.subscription_body import SubscriptionBody
from broker.ports.changes import SubscriptionChanges, Tally
from broker.store.pending.dead_letters import all_of
from broker.store.pending.outbox import forget
from broker.store.registry.decoding import decoded
from broker.store.registry.epochs import advance, changed_since
from broker.store.registry.timers import Schedule
from broker.store.wire.errors import reported
from broker.store.wire.tenants import EPOCH, Tenant, Tenants, epoch_of
from broker.store.wire.transactions import Transactions

Document = dict[str, Any]
Apply = Callable[[AsyncClientSession], Awaitable[Subscription | None]]
OnChange = Callable[[str, SubscriptionChanges], Awaitable[None]]

_INT64 = 2**63
_TEXT = "@json"  # the member that holds a stored @context as text


class MongoSubscriptions:
    """See `ports.SubscriptionStore`."""

    def __init__(self, client: AsyncMongoClient[Document], tenants: Tenants, schedule: Schedule) -> None:
        self._client = client
        self._tenants = tenants
        self._schedule = schedule
        self._transactions = Transactions(client)  # one after another: all update the epoch's document
        self._on_change: OnChange | None = None

    def on_change(self, callback: OnChange) -> None:
        """Sets a callback that gets each change of this process before it is acknowledged."""
        self._on_change = callback

    @property
    def session(self) -> AsyncClientSession:
        """The session that changes subscriptions, to be listed in `processes`."""
        return self._transactions.session

    async def create(self, tenant: str, subscription: Subscription) -> None:
        """Stores a new subscription; AlreadyExists if its id is taken."""
        handle = await self._tenants.obtain(tenant)

        async def insert(session: AsyncClientSession) -> Subscription:
            try:
                await handle.subscriptions.insert_one(_document(subscription), session=session)
            except DuplicateKeyError as error:
                raise AlreadyExists(f"{subscription.id} exists already") from error
            await self._schedule.follow(session, tenant, None, subscription)
            return subscription

        await self._change(handle, subscription.id, insert)

    async def replace(
        self, tenant: str, subscription_id: str, change: Callable[[Subscription], Subscription]
    ) -> None:
        """See `ports.SubscriptionStore.replace`."""
        handle = await self._tenants.get(tenant)

        async def update(session: AsyncClientSession) -> Subscription:
            stored = await handle.subscriptions.find_one({"_id": subscription_id}, session=session)
            if stored is None:
                raise _missing(subscription_id)
            old = _subscription(stored)
            new = change(old)
            await self._schedule.follow(session, tenant, old, new)
            await handle.subscriptions.replace_one({"_id": subscription_id}, _document(new), session=session)
            return new

        await self._change(handle, subscription_id, update)

    async def delete(self, tenant: str, subscription_id: str) -> None:
        """Deletes a subscription, its pending entries, tally and dead letters; ResourceNotFound if none."""
        handle = await self._tenants.get(tenant)

        async def remove(session: AsyncClientSession) -> None:
            stored = await handle.subscriptions.find_one_and_delete({"_id": subscription_id}, session=session)
            if stored is None:
                raise _missing(subscription_id)
            old = next(
                iter(decoded([stored], _subscription, "subscription")), None
            )  # a damaged subscription can be deleted, too
            await self._schedule.follow(session, tenant, old, None)

        await self._change(handle, subscription_id, remove)
        with reported():
            await forget(handle, subscription_id)
            await handle.tallies.delete_one({"_id": subscription_id})
            await handle.throttles.delete_one({"_id": subscription_id})
            await handle.undelivered.delete_many(all_of(subscription_id))

    async def get(self, tenant: str, subscription_id: str) -> tuple[Subscription, Tally] | None:
        """A subscription with its tally; None if there is none."""
        pairs = await self._find(tenant, {"_id": subscription_id}, 1, 0)
        return (_subscription(pairs[0][0]), pairs[0][1]) if pairs else None

    async def find(self, tenant: str, limit: int, offset: int) -> list[tuple[Subscription, Tally]]:
        """A page of subscriptions with their tallies, ordered by id. Damaged ones are not counted."""
        damaged: set[str] = set()
        while True:
            pairs = await self._find(tenant, {"_id": {"$nin": [*damaged]}}, limit, offset)
            tallies = {document["_id"]: tally for document, tally in pairs}
            page = decoded((document for document, _ in pairs), _subscription, "subscription")
            if len(page) == len(pairs):
                return [(subscription, tallies[subscription.id]) for subscription in page]
            damaged |= tallies.keys() - {subscription.id for subscription in page}

    async def count(self, tenant: str) -> int:
        """The number of subscriptions of the tenant."""
        handle = await self._tenants.get(tenant)
        with reported():
            return await handle.subscriptions.count_documents({})

    async def last_due(self, tenant: str, subscription_id: str) -> int | None:
        """See `ports.SubscriptionStore.last_due`."""
        handle = await self._tenants.get(tenant)
        with reported():
            throttle = await handle.throttles.find_one({"_id": subscription_id})
        return throttle["at"] if throttle else None

    async def current_epoch(self, tenant: str) -> tuple[int, str]:
        """See `ports.SubscriptionStore.current_epoch`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            return epoch_of(await handle.entities.find_one({"_id": EPOCH}))

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SubscriptionChanges:
        """See `ports.SubscriptionStore.since`. Reads in one snapshot."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            return await self._since(handle, epoch, mark)

    async def _since(self, handle: Tenant, epoch: int, mark: str) -> SubscriptionChanges:
        async with self._client.start_session(snapshot=True) as session:
            newest, new_mark = epoch_of(await handle.entities.find_one({"_id": EPOCH}, session=session))
            if (newest, new_mark) == (epoch, mark):
                return SubscriptionChanges(newest, [], [], mark=mark)
            if (ids := await changed_since(handle.subscription_log, epoch, mark, session)) is None:
                documents = await handle.subscriptions.find(session=session).to_list()
                every = decoded(documents, _subscription, "subscription")
                return SubscriptionChanges(newest, every, whole=True, mark=new_mark)
            documents = await handle.subscriptions.find({"_id": {"$in": ids}}, session=session).to_list()
        changed = decoded(documents, _subscription, "subscription")
        gone = set(ids) - {subscription.id for subscription in changed}
        return SubscriptionChanges(newest, changed, sorted(gone), mark=new_mark)

    async def _find(
        self, tenant: str, wanted: Document, limit: int, offset: int
    ) -> list[tuple[Document, Tally]]:
        handle = await self._tenants.get(tenant)
        with reported():
            cursor = handle.subscriptions.find(wanted, sort=[("_id", 1)], limit=limit, skip=offset)
            documents = await cursor.to_list()
            ids = [document["_id"] for document in documents]
            tallies = {tally["_id"]: tally async for tally in handle.tallies.find({"_id": {"$in": ids}})}
        return [(document, _tally(tallies.get(document["_id"], {}))) for document in documents]

    async def _change(self, tenant: Tenant, subscription_id: str, apply: Apply) -> None:
        """Applies a change, bumps the epoch and logs it, in one transaction. Retries it after a conflict."""

        async def commit(session: AsyncClientSession) -> SubscriptionChanges:
            new = await apply(session)
            step = await advance(tenant.entities, EPOCH, tenant.subscription_log, subscription_id, session)
            changed, gone = ([new], []) if new else ([], [subscription_id])
            return SubscriptionChanges(step.number, changed, gone, mark=step.mark, before=step.before)

        changes = await self._transactions.run(commit)
        if self._on_change is not None:
            await self._on_change(tenant.name, changes)


def _missing(subscription_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no subscription {subscription_id}")


def _document(subscription: Subscription) -> Document:
    body = subscription.body.model_dump(by_alias=True, exclude_none=True, exclude={"id"})
    return {
        "_id": subscription.id,
        "body": _storable(body),
        "context": _context(subscription.context),
        "names": {kind: [list(pair) for pair in names.items()] for kind, names in subscription.names.items()},
        "createdAt": subscription.created_at,
        "modifiedAt": subscription.modified_at,
    }


def _storable(value: Any) -> Any:
    """The value with integers beyond 64 bits (durations, heights) replaced by the nearest floats."""
    if isinstance(value, dict):
        return {name: _storable(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return float(value) if type(value) is int and not -_INT64 <= value < _INT64 else value


def _context(source: Json) -> Json:
    """The stored form of an @context: a URL as it is, anything else as JSON text, which allows any keys."""
    return source if isinstance(source, str | None) else {_TEXT: orjson.dumps(source).decode()}


def _source(stored: Json) -> Json:
    return orjson.loads(stored[_TEXT]) if isinstance(stored, dict) and _TEXT in stored else stored


def _subscription(document: Document) -> Subscription:
    return Subscription(
        document["_id"],
        SubscriptionBody.model_validate(document["body"]),
        _source(document["context"]),
        document["createdAt"],
        document["modifiedAt"],
        {kind: {name: iri for name, iri in pairs} for kind, pairs in document["names"].items()},
    )


def _tally(document: Document) -> Tally:
    return Tally(
        document.get("sent", 0),
        document.get("failed", 0),
        document.get("notification"),
        document.get("success"),
        document.get("failure"),
    )
