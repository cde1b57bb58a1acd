"""Registrations of context sources, with an epoch as subscriptions have one (`epochs`).

One is stored as text, with what it is looked for by beside it. What has expired is gone for every reader at
that instant; MongoDB removes it some time after.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from broker.clock import Clock
from broker.core import instant
from broker.core.errors import AlreadyExists, Conflict, ResourceNotFound, TooManyResults
from broker.core.federation.conflicts import clash
from broker.core.federation.registration import Registration
from broker.core.federation.registration_body import RegistrationBody
from broker.core.federation.source import PROXIED, Source, compiled
from broker.ports.sources import Approve, SourceChanges
from broker.store.registry.decoding import decoded
from broker.store.registry.epochs import advance, changed_since
from broker.store.wire.errors import reported
from broker.store.wire.tenants import REGISTRATION_EPOCH, Tenant, Tenants, epoch_of
from broker.store.wire.transactions import Transactions

Document = dict[str, Any]
OnChange = Callable[[str], Awaitable[None]]

_BATCH = 100  # registrations that are read at once: others get a turn in between


class MongoRegistrations:
    """See `ports.Registrations`. `limit`: registrations of a tenant, about, above which no more are taken."""

    def __init__(
        self, client: AsyncMongoClient[Document], tenants: Tenants, clock: Clock, limit: int
    ) -> None:
        self._client = client
        self._limit = limit
        self._tenants = tenants
        self._clock = clock
        self._transactions = Transactions(client)  # all bump one document: side by side they would conflict
        self._on_change: OnChange | None = None

    def on_change(self, call: OnChange) -> None:
        """Sets what is called with the tenant of each change of this process before it is acknowledged."""
        self._on_change = call

    @property
    def session(self) -> AsyncClientSession:
        """The session on which registrations are changed, for the list of processes."""
        return self._transactions.session

    async def create(self, tenant: str, registration: Registration, approve: Approve) -> None:
        """See `ports.Registrations.create`."""
        handle = await self._tenants.obtain(tenant)
        await self._check_limit(handle)

        async def insert(session: AsyncClientSession) -> None:
            expired = {"_id": registration.id, "expires": {"$lte": self._now()}}
            await handle.registrations.delete_one(expired, session=session)
            try:
                await handle.registrations.insert_one(_document(registration), session=session)
            except DuplicateKeyError as error:
                raise AlreadyExists(f"{registration.id} exists already") from error
            await self._check(handle, registration, approve, session)

        await self._change(handle, registration.id, insert)

    async def replace(
        self,
        tenant: str,
        registration_id: str,
        change: Callable[[Registration], Registration],
        approve: Approve,
    ) -> None:
        """See `ports.Registrations.replace`."""
        handle = await self._tenants.get(tenant)
        wanted = {"_id": registration_id}

        async def update(session: AsyncClientSession) -> None:
            document = await handle.registrations.find_one({**wanted, **self._alive()}, session=session)
            if document is None:
                raise _missing(registration_id)
            new = change(_registration(document))
            await handle.registrations.update_one(wanted, {"$set": _document(new)}, session=session)
            await self._check(handle, new, approve, session)

        await self._change(handle, registration_id, update)

    async def delete(self, tenant: str, registration_id: str) -> None:
        """See `ports.Registrations.delete`."""
        handle = await self._tenants.get(tenant)

        async def remove(session: AsyncClientSession) -> None:
            wanted = {"_id": registration_id, **self._alive()}
            if not (await handle.registrations.delete_one(wanted, session=session)).deleted_count:
                raise _missing(registration_id)

        await self._change(handle, registration_id, remove)

    async def get(self, tenant: str, registration_id: str) -> Registration | None:
        """One that is there."""
        handle = await self._tenants.get(tenant)
        with reported():
            document = await handle.registrations.find_one({"_id": registration_id, **self._alive()})
        return None if document is None else _registration(document)

    async def find(self, tenant: str, types: frozenset[str] | None) -> AsyncGenerator[Registration, None]:
        """See `ports.Registrations.find`."""
        handle = await self._tenants.get(tenant)
        of_types = {} if types is None else {"types": {"$in": [None, *sorted(types)]}}
        wanted = {**of_types, **self._alive()}
        with reported():
            async with handle.registrations.find(wanted, sort=[("_id", 1)], batch_size=_BATCH) as cursor:
                async for document in cursor:
                    for registration in decoded([document], _registration, "registration"):
                        yield registration

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SourceChanges:
        """See `ports.SourceLog.since`. Reads in one snapshot."""
        handle = await self._tenants.get(tenant)
        with reported():
            async with self._client.start_session(snapshot=True) as session:
                return await _since(handle, epoch, mark, session)

    async def _check_limit(self, handle: Tenant) -> None:
        """TooManyResults if the tenant has all registrations that it may have: every worker knows them."""
        with reported():
            if await handle.registrations.estimated_document_count() >= self._limit:
                raise TooManyResults(f"a tenant may have {self._limit} registrations, and has them")

    async def _check(
        self, handle: Tenant, new: Registration, approve: Approve, session: AsyncClientSession
    ) -> None:
        """Conflict if it clashes with another one, or what `approve` raises."""
        if new.mode in PROXIED:
            wanted = {**_rivals(new), **self._alive()}
            documents = await handle.registrations.find(wanted, session=session).to_list()
            for other in decoded(documents, _registration, "registration"):
                if (reason := clash(new, other)) is not None:
                    raise Conflict(f"information: {reason}")
        await approve(new)

    def _now(self) -> datetime:
        return _moment(self._clock.expiring())

    def _alive(self) -> Document:
        return {"expires": {"$not": {"$lte": self._now()}}}

    async def _change(
        self, handle: Tenant, changed: str, apply: Callable[[AsyncClientSession], Awaitable[None]]
    ) -> None:
        """Applies a change and raises the epoch, in one transaction; tried again if it conflicts."""

        async def all_of_it(session: AsyncClientSession) -> None:
            await apply(session)
            await advance(handle.entities, REGISTRATION_EPOCH, handle.registration_log, changed, session)

        await self._transactions.run(all_of_it)
        if self._on_change is not None:
            await self._on_change(handle.name)


async def _since(handle: Tenant, epoch: int, mark: str, session: AsyncClientSession) -> SourceChanges:
    newest, new_mark = epoch_of(await handle.entities.find_one({"_id": REGISTRATION_EPOCH}, session=session))
    if (newest, new_mark) == (epoch, mark):
        return SourceChanges(epoch, mark=mark)
    ids = await changed_since(handle.registration_log, epoch, mark, session)
    wanted = {} if ids is None else {"_id": {"$in": ids}}
    cursor = handle.registrations.find(wanted, session=session, batch_size=_BATCH)
    changed = [source async for each in cursor for source in decoded([each], _source, "registration")]
    gone = set(ids or ()) - {source.id for source in changed}
    return SourceChanges(newest, changed, sorted(gone), whole=ids is None, mark=new_mark)


def _rivals(new: Registration) -> Document:
    """The filter of all that a proxied registration may clash with."""
    modes = PROXIED if new.mode == "exclusive" else ("exclusive",)
    ids = new.ids
    of_ids = {} if ids is None else {"ids": {"$in": [None, *ids]}}
    return {"mode": {"$in": [*modes]}, "_id": {"$ne": new.id}, **of_ids}


def _missing(registration_id: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no registration {registration_id}")


def _moment(text: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant.micros(text))


def _document(registration: Registration) -> Document:
    """The stored shape, but for the tally; `types` and `ids` are null where it may be of any."""
    ids, types = registration.ids, registration.types
    text = {
        "body": registration.body.model_dump(by_alias=True, exclude_none=True),
        "context": registration.context,
        "properties": registration.properties,
        "bare": sorted(registration.bare),
    }
    return {
        "_id": registration.id,
        "text": orjson.dumps(text).decode(),
        "mode": registration.mode,
        "ids": None if ids is None else [*ids],
        "types": None if types is None else [*types],
        "createdAt": registration.created_at,
        "modifiedAt": registration.modified_at,
        "expires": None if registration.expires is None else _moment(registration.expires),
    }


def _registration(document: Document) -> Registration:
    text = orjson.loads(document["text"])
    return Registration(
        document["_id"],
        RegistrationBody.model_validate(text["body"]),
        text["context"],
        document["createdAt"],
        document["modifiedAt"],
        text["properties"],
        frozenset(text["bare"]),
    )


def _source(document: Document) -> Source:
    text = orjson.loads(document["text"])
    return compiled(document["_id"], text["body"], text["properties"])
