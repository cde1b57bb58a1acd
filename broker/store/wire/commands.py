"""Raw commands to MongoDB. The driver's helpers cost more CPU for each document than its encoding does.

The writing commands are for use inside transactions: every failure raises, and the caller aborts the
transaction.
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
_ALL = 1_000_000  # batch size: puts all documents into the first reply, unless they exceed its 16 MB


class Missed(Exception):
    """A document that a statement needs does not exist, or was changed since it was read."""


async def find(
    collection: Collection,
    wanted: Document,
    session: AsyncClientSession | None = None,
    *,
    level: str = "majority",
    **options: Any,
) -> list[Document]:
    """All documents that match the filter `wanted`; `options` are those of MongoDB's find (sort, skip …).

    `level` is the read concern outside transactions; `local` suits callers whose next write checks `rev`.
    A document that is not valid BSON is returned with its `_id` only, so that the others can be read.
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
    documents: list[Document] = cursor["firstBatch"]
    return documents


def _valid(raw: RawBSONDocument) -> Document:
    try:
        return decode(raw.raw)
    except InvalidBSON:
        return {"_id": raw["_id"]}


async def _close(collection: Collection, cursor: int, session: AsyncClientSession | None) -> None:
    """Closes a cursor whose first reply was not complete. This is rare; the driver then repeats the query.

    We cannot continue the cursor: without a `session`, it belongs to a session internal to the driver.
    """
    command = {"killCursors": collection.name, "cursors": [cursor]}
    await collection.database.command(command, session=session)


async def aggregate(collection: Collection, pipeline: Sequence[Document], **options: Any) -> list[Document]:
    """All documents that a pipeline yields; `options` are those of MongoDB's aggregate (collation …)."""
    durable = collection.with_options(read_concern=ReadConcern("majority"))
    async with await durable.aggregate(pipeline, batchSize=_ALL, **options) as cursor:
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
    """Inserts documents; WriteError with the server's code if it refuses one."""
    await _run(collection, "insert", "documents", documents, session)


async def update(collection: Collection, updates: Sequence[Document], session: AsyncClientSession) -> None:
    """Executes updates {q: filter, u: update, upsert: bool}; WriteError if the server refuses one."""
    await _run(collection, "update", "updates", updates, session)


async def delete(collection: Collection, ids: Sequence[str], session: AsyncClientSession) -> None:
    """Deletes documents by id. WriteError if the server refuses to."""
    if ids:
        await delete_all(collection, [{"_id": {"$in": ids}}], session)


async def delete_all(collection: Collection, filters: Sequence[Document], session: AsyncClientSession) -> int:
    """Deletes every document that matches one of the filters. Returns their number. WriteError as above."""
    deletes = [{"q": wanted, "limit": 0} for wanted in filters]
    return await _run(collection, "delete", "deletes", deletes, session)


async def update_each(
    collection: Collection, updates: Sequence[Document], session: AsyncClientSession
) -> None:
    """As `update`, which may raise WriteError; Missed if one of the updates matches no document."""
    if await _run(collection, "update", "updates", updates, session) < len(updates):
        raise Missed


async def delete_each(collection: Collection, ids: Sequence[Document], session: AsyncClientSession) -> None:
    """Deletes documents by id; Missed if one of them does not exist, WriteError if the server refuses to."""
    deletes = [{"q": {"_id": key}, "limit": 1} for key in ids]
    if await _run(collection, "delete", "deletes", deletes, session) < len(ids):
        raise Missed


async def _run(
    collection: Collection,
    command: str,
    member: str,
    items: Sequence[Mapping[str, Any]],
    session: AsyncClientSession,
) -> int:
    """Runs a writing command. Returns the number of documents that it matched or inserted."""
    if not items:
        return 0
    try:
        reply = await collection.database.command({command: collection.name, member: items}, session=session)
    except DocumentTooLarge:  # the items together exceed the size of a command: two commands with half each
        if len(items) == 1:
            raise
        half = len(items) // 2
        first = await _run(collection, command, member, items[:half], session)
        return first + await _run(collection, command, member, items[half:], session)
    for error in reply.get("writeErrors", ()):
        raise WriteError(error.get("errmsg", ""), error.get("code"), error)
    matched: int = reply["n"]
    return matched
