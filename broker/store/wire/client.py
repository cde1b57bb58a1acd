"""The connection to MongoDB of one worker."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.wire.errors import reported

Session = AsyncClientSession


@dataclass(frozen=True, slots=True)
class Database:
    """A client whose writes are durable: acknowledged by the majority, and in its journal."""

    client: AsyncMongoClient[dict[str, Any]]

    async def ping(self) -> None:
        """Returns if a primary answers; Unavailable otherwise."""
        with reported():
            await self.client.admin.command("ping")

    async def time(self) -> int:
        """The server's time (µs), to the millisecond."""
        with reported():
            reply = await self.client.admin.command("hello")
        time: datetime = reply["localTime"]
        return round(time.replace(tzinfo=UTC).timestamp() * 1_000_000)


async def open_database(uri: str, stack: AsyncExitStack) -> Database:
    """Connects; the connection is checked by the parent process, so here a failure is an outage."""
    options: dict[str, Any] = {
        "w": "majority",
        "journal": True,
        "readConcernLevel": "majority",
        "serverSelectionTimeoutMS": 3000,
        "connectTimeoutMS": 3000,
        "socketTimeoutMS": 30_000,
        "appname": "eridanus",
    }
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(uri, **options)
    stack.push_async_callback(client.close)
    await client.aconnect()
    return Database(client)
