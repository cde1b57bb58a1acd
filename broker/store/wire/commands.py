"""Commands to MongoDB as they are: the driver's helpers cost more for each document than its encoding.

Writes are for use in transactions: what goes wrong raises, and the caller abandons the transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bson import CodecOptions, decode
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DocumentTooLarge, WriteError
from pymongo.read_concern import ReadConcern

from broker.store.wire.tenants import Collection

Document = dict[str, Any]

_RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
_ALL = 1_000_000  # documents in the first answer: as many as there are, within the 16 MB of an answer


class Missed(Exception):
    """A document that a statement is about is not there, or not as it was."""


async def find(
    collection: Collection,
    wanted: Document,
    session: AsyncClientSession | None = None,
    *,
    level: str = "majority",
    **options: Any,
) -> list[Document]:
    """All documents that a filter selects; `options` are those of MongoDB's find (sort, skip, limit …).

    `level` of the read concern, outside transactions: `local` for who writes under a guard afterwards.
    A document that is no valid BSON is given as its `_id` alone: it must not be in the way of the others.
    """
    command: Document = {"find": collection.name, "filter": wanted, "batchSize": _ALL, **options}
    if session is None or not session.in_transaction:
        command["readConcern"] = {"level": level}
    try:
        cursor = (await collection.database.command(command, session=session))["cursor"]
    except InvalidBSON:
        answer = await collection.database.command(command, session=session, codec_options=_RAW)
        cursor = {**answer["cursor"], "firstBatch": [*map(_valid, answer["cursor"]["firstBatch"])]}
    if cursor["id"]:
        await _close(collection, cursor["id"], session)
        return await _with_cursor(collection, wanted, session, options)
    found: list[Document] = cursor["firstBatch"]
    return found


def _valid(raw: RawBSONDocument) -> Document:
    try:
        return decode(raw.raw)
    except InvalidBSON:
        return {"_id": raw["_id"]}


async def _close(collection: Collection, cursor: int, session: AsyncClientSession | None) -> None:
    """Closes the cursor of an answer that does not hold all, which is rare: the driver then reads it anew.

    Only the session that opened a cursor may go on with it, and of a single command that is the driver's own.
    """
    command = {"killCursors": collection.name, "cursors": [cursor]}
    await collection.database.command(command, session=session)


async def aggregate(collection: Collection, pipeline: Sequence[Document], **options: Any) -> list[Document]:
    """All documents that a pipeline makes; `options` are those of MongoDB's aggregate (collation …)."""
    settled = collection.with_options(read_concern=ReadConcern("majority"))
    async with await settled.aggregate(pipeline, batchSize=_ALL, **options) as cursor:
        return await cursor.to_list()


async def _with_cursor(
    collection: Collection, wanted: Document, session: AsyncClientSession | None, options: Document
) -> list[Document]:
    sort = list(options.get("sort", {}).items()) or None
    skip, limit = options.get("skip", 0), options.get("limit", 0)
    async with collection.find(
        wanted,
        options.get("projection"),
        sort=sort,
        skip=skip,
        limit=limit,
        hint=options.get("hint"),
        max_time_ms=options.get("maxTimeMS"),
        session=session,
    ) as cursor:
        return await cursor.to_list()


async def insert(
    collection: Collection, documents: Sequence[Mapping[str, Any]], session: AsyncClientSession
) -> None:
    """Inserts documents; WriteError with the server's code if one is refused."""
    await _run(collection, "insert", "documents", documents, session)


async def update(collection: Collection, updates: Sequence[Document], session: AsyncClientSession) -> None:
    """Carries out updates of the form {q: filter, u: update, upsert: bool}."""
    await _run(collection, "update", "updates", updates, session)


async def delete(collection: Collection, ids: Sequence[str], session: AsyncClientSession) -> None:
    """Deletes documents by id."""
    if ids:
        await delete_all(collection, [{"_id": {"$in": ids}}], session)


async def delete_all(collection: Collection, filters: Sequence[Document], session: AsyncClientSession) -> int:
    """Deletes all that any of the filters selects; how many that were."""
    deletes = [{"q": one, "limit": 0} for one in filters]
    return await _run(collection, "delete", "deletes", deletes, session)


async def update_each(
    collection: Collection, updates: Sequence[Document], session: AsyncClientSession
) -> None:
    """As `update`; Missed if one of them found nothing to update."""
    if await _run(collection, "update", "updates", updates, session) < len(updates):
        raise Missed


async def delete_each(collection: Collection, ids: Sequence[Document], session: AsyncClientSession) -> None:
    """Deletes documents by id; Missed if one of them is not there."""
    deletes = [{"q": {"_id": one}, "limit": 1} for one in ids]
    if await _run(collection, "delete", "deletes", deletes, session) < len(ids):
        raise Missed


async def _run(
    collection: Collection,
    command: str,
    member: str,
    items: Sequence[Mapping[str, Any]],
    session: AsyncClientSession,
) -> int:
    """How many documents the command was about."""
    if not items:
        return 0
    try:
        reply = await collection.database.command({command: collection.name, member: items}, session=session)
    except DocumentTooLarge:  # together they exceed what one command may hold: half of them each time
        if len(items) == 1:
            raise
        half = len(items) // 2
        first = await _run(collection, command, member, items[:half], session)
        return first + await _run(collection, command, member, items[half:], session)
    for error in reply.get("writeErrors", ()):
        raise WriteError(error.get("errmsg", ""), error.get("code"), error)
    found: int = reply["n"]
    return found
