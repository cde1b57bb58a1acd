"""The MongoDB of a broker, for the parent process: an external one is checked, an embedded one is run."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import AsyncMongoClient

from broker.config import Settings
from broker.store.server.embedded import EmbeddedMongo, EmbeddedMongoError
from broker.store.server.external import check_server, connect
from broker.supervisor.pause import next_pause

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DatabaseProcess:
    """A connection to MongoDB. `embedded`: the embedded server; None if the MongoDB is external."""

    uri: str
    client: AsyncMongoClient[dict[str, Any]]
    embedded: EmbeddedMongo | None
    description: str

    async def keep(self) -> None:
        """Restarts the embedded server whenever it ends. Its port and its URI stay the same."""
        pause = 0.0
        while self.embedded:
            born = time.monotonic()
            code = await self.embedded.wait_exit()
            pause = next_pause(pause, time.monotonic() - born)
            logger.error("the embedded MongoDB server ended; starting it again", extra={"exit_code": code})
            await asyncio.sleep(pause)
            await _restart(self.embedded)


async def _restart(embedded: EmbeddedMongo) -> None:
    pause = 0.0
    while True:
        try:
            await embedded.start()
        except EmbeddedMongoError as error:
            pause = next_pause(pause, 0.0)
            logger.error(f"{error}; trying again in {pause:g} s")
            await asyncio.sleep(pause)
        else:
            return


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[DatabaseProcess]:
    """The MongoDB that the settings name, or an embedded one that runs as long as the context.

    ServerUnfitError if the server is not suitable; EmbeddedMongoError if the embedded one does not start.
    """
    if settings.mongo_uri:
        uri = settings.mongo_uri.get_secret_value()
        async with connect(uri) as client:
            await check_server(client)
            version = (await client.server_info())["version"]
            yield DatabaseProcess(uri, client, None, f"MongoDB {version}")
    else:
        async with _own_server(settings) as own:
            yield own


@asynccontextmanager
async def _own_server(settings: Settings) -> AsyncIterator[DatabaseProcess]:
    embedded = EmbeddedMongo(
        settings.data_dir,
        settings.mongod,
        transaction_lifetime=settings.transaction_lifetime,
        cache_mb=settings.mongod_cache,
    )
    try:
        uri = await embedded.start()
        async with connect(uri) as client:
            description = f"embedded MongoDB {embedded.version} in {settings.data_dir}"
            yield DatabaseProcess(uri, client, embedded, description)
    finally:
        await embedded.stop()
