"""Fetched @context documents: they survive the process, and the host that they came from."""

from typing import Any

import orjson
from pymongo import AsyncMongoClient

from broker.core import Json
from broker.store.errors import reported


class MongoContexts:
    """See `contexts.loader.DocumentStore`. Shared by all tenants; kept as text, so that any keys are safe."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], prefix: str) -> None:
        self._contexts = client[prefix]["contexts"]

    async def load(self, url: str) -> Json | None:
        """The document that was fetched from this URL, if any."""
        with reported():
            found = await self._contexts.find_one({"_id": url})
        return None if found is None else orjson.loads(found["document"])

    async def save(self, url: str, document: Json) -> None:
        """Keeps a document."""
        text = orjson.dumps(document).decode()
        with reported():
            await self._contexts.replace_one({"_id": url}, {"document": text}, upsert=True)
