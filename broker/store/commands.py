"""Write commands to MongoDB as they are: the driver's helpers cost more for each document than its encoding.

For use in transactions: what goes wrong raises, and the caller abandons the transaction.
"""

from collections.abc import Sequence
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DocumentTooLarge, WriteError

from broker.store.tenants import Collection

Document = dict[str, Any]


async def insert(collection: Collection, documents: Sequence[Document], session: AsyncClientSession) -> None:
    """Inserts documents; WriteError with the server's code if one is refused."""
    await _run(collection, "insert", "documents", documents, session)


async def update(collection: Collection, updates: Sequence[Document], session: AsyncClientSession) -> None:
    """Carries out updates of the form {q: filter, u: update, upsert: bool}."""
    await _run(collection, "update", "updates", updates, session)


async def delete(collection: Collection, ids: Sequence[str], session: AsyncClientSession) -> None:
    """Deletes documents by id."""
    if ids:
        await _run(collection, "delete", "deletes", [{"q": {"_id": {"$in": ids}}, "limit": 0}], session)


async def _run(
    collection: Collection, command: str, member: str, items: Sequence[Document], session: AsyncClientSession
) -> None:
    if not items:
        return
    try:
        reply = await collection.database.command({command: collection.name, member: items}, session=session)
    except DocumentTooLarge:  # together they exceed what one command may hold: half of them each time
        if len(items) == 1:
            raise
        half = len(items) // 2
        await _run(collection, command, member, items[:half], session)
        await _run(collection, command, member, items[half:], session)
        return
    for error in reply.get("writeErrors", ()):
        raise WriteError(error.get("errmsg", ""), error.get("code"), error)
