"""The connection of one worker to MongoDB."""

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
    """A client of MongoDB. Its writes are durable: a majority has them in its journals."""

    client: AsyncMongoClient[dict[str, Any]]

    async def ping(self) -> None:
        """Returns when a primary answers; Unavailable if none does."""
        with reported():
            await self.client.admin.command("ping")

    async def time(self) -> int:
        """The server's time in µs, with a precision of 1 ms; Unavailable if no primary answers."""
        with reported():
            reply = await self.client.admin.command("hello")
        time: datetime = reply["localTime"]
        return round(time.replace(tzinfo=UTC).timestamp() * 1_000_000)


async def open_database(uri: str, stack: AsyncExitStack) -> Database:
    """Opens the database; `stack` closes it. The parent process has checked that MongoDB is usable.

    Does not wait for a server: if there is none, the first operation fails.
    """
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
