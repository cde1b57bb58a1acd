"""Subscriptions, with the epoch that tells every process when they changed.

A change of subscriptions and the bump of the tenant's epoch, which lies beside the entities, are one
transaction. Each group commit reads the epoch with its entities, so a write that begins after a
subscription was acknowledged knows of it, in whatever process.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
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
from broker.store.registry.timers import Schedule
from broker.store.wire.errors import reported
from broker.store.wire.tenants import EPOCH, Tenant, Tenants, epoch_of
from broker.store.wire.transactions import Transactions

log = logging.getLogger(__name__)
Document = dict[str, Any]
Apply = Callable[[AsyncClientSession], Awaitable[Subscription | None]]
Tell = Callable[[str, SubscriptionChanges], Awaitable[None]]

_INT64 = 2**63
_TEXT = "@json"  # what a stored @context has for a member that is text
_LOGGED = 10_000  # changes that the log holds; a process that is further behind reads everything again


class MongoSubscriptions:
    """See `ports.SubscriptionStore`."""

    def __init__(self, client: AsyncMongoClient[Document], tenants: Tenants, schedule: Schedule) -> None:
        self._client = client
        self._tenants = tenants
        self._schedule = schedule
        self._transactions = Transactions(client)  # all bump one document: side by side they would conflict
        self._tell: Tell | None = None

    def tell(self, tell: Tell) -> None:
        """Names who is told of each change that this process makes, before it is acknowledged."""
        self._tell = tell

    def open(self) -> AsyncClientSession:
        """The session on which subscriptions are changed, for the list of processes."""
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
            found = await handle.subscriptions.find_one({"_id": subscription_id}, session=session)
            if found is None:
                raise _missing(subscription_id)
            old = _subscription(found)
            new = change(old)
            await self._schedule.follow(session, tenant, old, new)
            await handle.subscriptions.replace_one({"_id": subscription_id}, _document(new), session=session)
            return new

        await self._change(handle, subscription_id, update)

    async def delete(self, tenant: str, subscription_id: str) -> None:
        """Deletes a subscription, and what was still due to it; ResourceNotFound if there is none."""
        handle = await self._tenants.get(tenant)

        async def remove(session: AsyncClientSession) -> None:
            found = await handle.subscriptions.find_one_and_delete({"_id": subscription_id}, session=session)
            if found is None:
                raise _missing(subscription_id)
            old = next(iter(_decoded([found])), None)  # what cannot be decoded can be deleted
            await self._schedule.follow(session, tenant, old, None)

        await self._change(handle, subscription_id, remove)
        with reported():
            await forget(handle, subscription_id)
            await handle.tallies.delete_one({"_id": subscription_id})
            await handle.throttles.delete_one({"_id": subscription_id})
            await handle.undelivered.delete_many(all_of(subscription_id))

    async def get(self, tenant: str, subscription_id: str) -> tuple[Subscription, Tally] | None:
        """A subscription with its tally."""
        found = await self._find(tenant, {"_id": subscription_id}, 1, 0)
        return (_subscription(found[0][0]), found[0][1]) if found else None

    async def find(self, tenant: str, limit: int, offset: int) -> list[tuple[Subscription, Tally]]:
        """A page of subscriptions, in the order of their ids, as full as if none were damaged."""
        damaged: set[str] = set()
        while True:
            found = await self._find(tenant, {"_id": {"$nin": [*damaged]}}, limit, offset)
            tallies = {document["_id"]: tally for document, tally in found}
            page = _decoded(document for document, _ in found)
            if len(page) == len(found):
                return [(one, tallies[one.id]) for one in page]
            damaged |= tallies.keys() - {one.id for one in page}

    async def count(self, tenant: str) -> int:
        """How many subscriptions the tenant has."""
        handle = await self._tenants.get(tenant)
        with reported():
            return await handle.subscriptions.count_documents({})

    async def last_due(self, tenant: str, subscription_id: str) -> int | None:
        """See `ports.SubscriptionStore.last_due`."""
        handle = await self._tenants.get(tenant)
        with reported():
            found = await handle.throttles.find_one({"_id": subscription_id})
        return found["at"] if found else None

    async def current_epoch(self, tenant: str) -> tuple[int, str]:
        """See `ports.SubscriptionStore.current_epoch`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            return epoch_of(await handle.entities.find_one({"_id": EPOCH}))

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SubscriptionChanges:
        """See `ports.SubscriptionStore.since`: read in one snapshot."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            return await self._since(handle, epoch, mark)

    async def _since(self, handle: Tenant, epoch: int, mark: str) -> SubscriptionChanges:
        async with self._client.start_session(snapshot=True) as session:
            newest, its_mark = epoch_of(await handle.entities.find_one({"_id": EPOCH}, session=session))
            if (newest, its_mark) == (epoch, mark):
                return SubscriptionChanges(newest, [], [], mark=mark)
            if (ids := await _changed_since(handle, epoch, mark, session)) is None:
                found = await handle.subscriptions.find(session=session).to_list()
                return SubscriptionChanges(newest, _decoded(found), whole=True, mark=its_mark)
            found = await handle.subscriptions.find({"_id": {"$in": ids}}, session=session).to_list()
        changed = _decoded(found)
        gone = set(ids) - {one.id for one in changed}
        return SubscriptionChanges(newest, changed, sorted(gone), mark=its_mark)

    async def _find(
        self, tenant: str, wanted: Document, limit: int, offset: int
    ) -> list[tuple[Document, Tally]]:
        handle = await self._tenants.get(tenant)
        with reported():
            cursor = handle.subscriptions.find(wanted, sort=[("_id", 1)], limit=limit, skip=offset)
            documents = await cursor.to_list()
            ids = [one["_id"] for one in documents]
            tallies = {one["_id"]: one async for one in handle.tallies.find({"_id": {"$in": ids}})}
        return [(one, _tally(tallies.get(one["_id"], {}))) for one in documents]

    async def _change(self, tenant: Tenant, subscription_id: str, apply: Apply) -> None:
        """Applies a change, bumps the epoch and logs it, in one transaction; tried again if it conflicts."""

        async def all_of_it(session: AsyncClientSession) -> SubscriptionChanges:
            new, mark = await apply(session), secrets.token_hex(8)
            number, before = epoch_of(
                await tenant.entities.find_one_and_update(
                    {"_id": EPOCH}, {"$inc": {"n": 1}, "$set": {"mark": mark}}, session=session
                )
            )
            number += 1
            logged = {"_id": number, "s": subscription_id, "before": before}
            await tenant.subscription_log.insert_one(logged, session=session)
            await tenant.subscription_log.delete_one({"_id": number - _LOGGED}, session=session)
            changed, gone = ([new], []) if new else ([], [subscription_id])
            return SubscriptionChanges(number, changed, gone, mark=mark, before=before)

        changes = await self._transactions.run(all_of_it)
        if self._tell is not None:
            await self._tell(tenant.name, changes)


async def _changed_since(
    handle: Tenant, epoch: int, mark: str, session: AsyncClientSession
) -> list[str] | None:
    """The ids of the subscriptions that changed after an epoch; None if the log does not follow on from it.

    Each change names the mark that it found: after a backup was restored, a number may be used again.
    """
    if epoch < 0:
        return None
    later = {"_id": {"$gt": epoch}}
    logged = await handle.subscription_log.find(later, sort=[("_id", 1)], session=session).to_list()
    if not logged or (logged[0]["_id"], logged[0].get("before", "")) != (epoch + 1, mark):
        return None
    return [*{one["s"] for one in logged}]


def _missing(subscription_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no subscription {subscription_id}")


def _document(subscription: Subscription) -> Document:
    body = subscription.body.model_dump(by_alias=True, exclude_none=True, exclude={"id"})
    return {
        "_id": subscription.id,
        "body": _storable(body),
        "context": _context(subscription.context),
        "names": {one: [list(pair) for pair in names.items()] for one, names in subscription.names.items()},
        "createdAt": subscription.created_at,
        "modifiedAt": subscription.modified_at,
    }


def _storable(value: Any) -> Any:
    """The same, with numbers that BSON has no integers for (durations, heights) as the nearest floats."""
    if isinstance(value, dict):
        return {name: _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return float(value) if type(value) is int and not -_INT64 <= value < _INT64 else value


def _context(source: Json) -> Json:
    """An @context that is no URL, as text, so that any keys and numbers are safe."""
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
        {one: {name: iri for name, iri in pairs} for one, pairs in document["names"].items()},
    )


def _decoded(documents: Iterable[Document]) -> list[Subscription]:
    """The subscriptions of stored documents, without those that cannot be decoded: others go on."""
    found = []
    for document in documents:
        try:
            found.append(_subscription(document))
        except Exception:  # damaged, or of another version
            log.exception("a stored subscription cannot be decoded", extra={"subscription": document["_id"]})
    return found


def _tally(document: Document) -> Tally:
    return Tally(
        document.get("sent", 0),
        document.get("failed", 0),
        document.get("notification"),
        document.get("success"),
        document.get("failure"),
    )
