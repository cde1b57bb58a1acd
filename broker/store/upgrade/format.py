"""The number of the database's format, and the upgrade of a database that an older version wrote.

The number is in the collection `tasks` of the default database: {_id: "format", n}. Format 1 had no number.
The parent process upgrades before it starts workers, so no request is answered before the end. A lease lets
one parent process upgrade at a time; if it is lost, two concurrent upgrades do no harm (`format1`). The
number is written last, so the next start continues an interrupted upgrade. Only a backup leads back.
"""

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from pymongo import AsyncMongoClient, WriteConcern
from pymongo.errors import PyMongoError

from broker.core.errors import NgsiLdError
from broker.store.background.lease import Lease
from broker.store.registry.processes import ALIVE
from broker.store.upgrade.format1 import TenantUpgrade
from broker.store.wire.tenants import Database, Tenants

log = logging.getLogger(__name__)
Client = AsyncMongoClient[dict[str, Any]]

FORMAT = 2
_ID = "format"
_LEASE = 15.0  # seconds
_PATIENCE = 30.0  # seconds to wait for processes of an older version to end
_POLL = 2.0  # seconds
_PROGRESS = 5.0  # seconds between two log lines
_WORDS = 300  # characters of an error of MongoDB in a message; it may quote whole documents
_FAILED = "MongoDB failed before the upgrade of the database was complete; start again to continue it"


class UpgradeError(Exception):
    """The database does not have this version's format and cannot be upgraded; the message says why."""


async def upgrade(client: Client, prefix: str, patience: float = _PATIENCE) -> None:
    """Returns when the database has this version's format, upgraded if need be.

    Raises UpgradeError before any change if the database has a newer format, or if processes of an older
    version use it for longer than `patience` (s). Raises it, too, if MongoDB fails; the next start continues.
    """
    try:
        while not await is_current(client, prefix):
            async with _turn(client, prefix) as is_mine:
                if is_mine:
                    await _upgrade(client, prefix, patience)
                else:
                    log.info("waiting for the process that upgrades the database")
                    await asyncio.sleep(_POLL)
    except PyMongoError as error:
        raise UpgradeError(f"{_FAILED}: {str(error)[:_WORDS]}") from error
    except NgsiLdError as error:
        raise UpgradeError(f"{_FAILED}: {error.detail}") from error


async def is_current(client: Client, prefix: str) -> bool:
    """Whether the database has this version's format. UpgradeError if it has a newer one."""
    number = await _number(client[prefix])
    if number > FORMAT:
        raise UpgradeError(
            f"a newer version of Eridanus wrote the database {prefix!r} (format {number}; this version knows "
            f"formats up to {FORMAT}): start the newer version, or name another database by BROKER_DATABASE"
        )
    return number == FORMAT


async def require_current(client: Client, prefix: str) -> None:
    """Returns if the database has this version's format, or is empty; raises UpgradeError otherwise."""
    if not await is_current(client, prefix) and await _number(client[prefix]):
        raise UpgradeError(
            f"an older version of Eridanus wrote the database {prefix!r}: start the broker, which upgrades it"
        )


async def _number(database: Database) -> int:
    """The format of the database; 0 if it is empty."""
    if (document := await database["tasks"].find_one({"_id": _ID})) is not None:
        return int(document["n"])
    return 0 if await database["tenants"].find_one() is None else 1


async def _upgrade(client: Client, prefix: str, patience: float) -> None:
    """Upgrades the database while holding the lease, unless another process has just done it."""
    if await is_current(client, prefix):
        return
    if await _number(client[prefix]):
        await _until_alone(client[prefix], patience)
        began = time.monotonic()
        log.info("upgrading the database", extra={"database": prefix, "to_format": FORMAT})
        await _upgrade_tenants(client, prefix)
        log.info("the database is upgraded", extra={"seconds": round(time.monotonic() - began, 1)})
    tasks = client[prefix]["tasks"].with_options(write_concern=WriteConcern("majority", j=True))
    await tasks.update_one({"_id": _ID}, {"$max": {"n": FORMAT}}, upsert=True)


async def _upgrade_tenants(client: Client, prefix: str) -> None:
    tenants = Tenants(client, prefix)
    for name in await tenants.names():
        await TenantUpgrade(await tenants.obtain(name), _Progress(name)).run()
    # The progress of the packer's rounds: it works by marks of entities' documents now.
    await client[prefix]["tasks"].delete_many({"_id": {"$regex": "^packed "}})


async def _until_alone(database: Database, patience: float) -> None:
    """Returns when the leases of all processes have ended; UpgradeError after `patience` seconds."""
    end = time.monotonic() + patience
    while alive := await database["processes"].count_documents(ALIVE):
        if time.monotonic() > end:
            raise UpgradeError(
                f"{alive} processes of an older version of Eridanus use the database {database.name!r}: stop "
                "all brokers on it, then start this one, which upgrades it (a process that was killed counts "
                "until its lease has ended)"
            )
        log.info("waiting for processes of an older version to end", extra={"processes": alive})
        await asyncio.sleep(min(patience, _POLL))


@asynccontextmanager
async def _turn(client: Client, prefix: str) -> AsyncIterator[bool]:
    """Yields whether this process holds the lease of the upgrade; renews it until the end of the block."""
    lease = Lease(client[prefix]["tasks"], "upgrade", secrets.token_hex(8), _LEASE)
    if not await lease.is_held():
        yield False
        return
    keeping = asyncio.create_task(_keep(lease))
    try:
        yield True
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        with suppress(PyMongoError):  # the lease expires without it
            await lease.give_up()


async def _keep(lease: Lease) -> None:
    while True:
        await asyncio.sleep(_LEASE / 3)
        with suppress(PyMongoError):  # losing the lease does no harm
            await lease.is_held()


class _Progress:
    """Logs every few seconds the numbers of documents of a tenant that are upgraded."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._done: Counter[str] = Counter()
        self._said = time.monotonic()

    def __call__(self, collection: str, documents: int) -> None:
        self._done[collection] += documents
        if time.monotonic() - self._said >= _PROGRESS:
            self._said = time.monotonic()
            log.info("upgrading the database", extra={"tenant": self._tenant, **self._done})
