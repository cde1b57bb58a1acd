"""The answers of sources, read (clauses 6.3.4, 6.3.5, 6.3.17)."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import orjson

from broker.core import Entity, Json
from broker.core.entity.received import received
from broker.core.errors import NgsiLdError
from broker.core.federation.step import Fault, Reply, Step
from broker.core.federation.wire import READS, asked_in
from broker.core.jsonld.context import Context
from broker.core.jsonld.link_header import linked_context
from broker.federation.exchange import Answer
from broker.ports.contexts import ContextLoader

Result = TypeVar("Result")

_LARGE = 256 * 1024  # bytes from which on a body is read in a thread: about 10 ms of work
_DEEPEST = 64  # levels of JSON
_WARNINGS = 50
_CONTEXTS = 8  # different @contexts in one answer


async def read(step: Step, answer: Answer, names: Context, contexts: ContextLoader) -> Reply:
    """The reply that an answer means. `names`: the @context in whose names the source was asked.

    To a read that succeeded it has the entities that are well-formed, and the fault INVALID if others are
    not; a write needs no body to have succeeded.
    """
    warnings = tuple(answer.headers.getall("NGSILD-Warning", ())[:_WARNINGS])
    body = answer.body or b""
    doc, fault = await _unhindered(len(body), lambda: _parsed(body))
    has_more, has_cursor = _next_page(answer)
    reply = Reply(step, answer.status, doc=doc, has_more=has_more, has_cursor=has_cursor, warnings=warnings)
    if step.operation not in READS or not 200 <= answer.status < 300:
        return reply
    if fault := answer.fault or fault:
        return replace(reply, fault=fault)
    items = doc if isinstance(doc, list) else [] if doc is None else [doc]
    spoken = await _contexts(step, answer, items, names, contexts)
    entities, is_whole = await _unhindered(len(body), lambda: _entities(items, spoken))
    return _asked_for(replace(reply, entities=entities, fault=None if is_whole else Fault.INVALID))


async def _unhindered(size: int, work: Callable[[], Result]) -> Result:
    """The result of some work on a body of this size, which is done in a thread if it would take long."""
    return await asyncio.to_thread(work) if size > _LARGE else work()


def _parsed(body: bytes) -> tuple[Json, Fault | None]:
    """(JSON, None), or (None, INVALID) if it is none that this broker reads. Nothing is (None, None)."""
    if not body.strip():
        return None, None
    try:
        doc = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, Fault.INVALID
    is_flat = body.count(b"[") + body.count(b"{") <= _DEEPEST or not _is_deep(doc)
    return (doc, None) if is_flat and isinstance(doc, dict | list) else (None, Fault.INVALID)


def _is_deep(doc: Json) -> bool:
    """Whether JSON is nested deeper than this broker could write it again."""
    level = [doc]
    for _ in range(_DEEPEST):
        children = (child for doc in level for child in (doc.values() if type(doc) is dict else doc))
        level = [child for child in children if type(child) in (dict, list)]
        if not level:
            return False
    return True


async def _contexts(
    step: Step, answer: Answer, items: Sequence[Json], names: Context, contexts: ContextLoader
) -> list[Context | None]:
    """The @context of each entity: its own, that of the Link, or the one of the request. None: not usable."""
    linked = _link(answer)
    loaded: dict[bytes, Context | None] = {}
    spoken = []
    for item in items:
        source = item.get("@context", linked) if isinstance(item, dict) else linked
        key = orjson.dumps(source)
        if key not in loaded:
            is_too_many = len(loaded) == _CONTEXTS
            loaded[key] = None if is_too_many else await _resolved(step, source, names, contexts)
        spoken.append(loaded[key])
    return spoken


def _link(answer: Answer) -> str | None:
    try:
        return linked_context(", ".join(answer.headers.getall("Link", ())))
    except NgsiLdError:  # no list of links: what the source was asked in is more likely than anything else
        return None


def _next_page(answer: Answer) -> tuple[bool, bool]:
    """(whether the answer links to a next page, whether that link has a cursor as ours have)."""
    for link in ", ".join(answer.headers.getall("Link", ())).split(", <"):
        url, _, relation = link.partition(">")
        if 'rel="next"' in relation.replace(" ", ""):
            return True, "&after=" in url.replace("?", "&")
    return False, False


async def _resolved(step: Step, source: Json, names: Context, contexts: ContextLoader) -> Context | None:
    if source is None or source == asked_in(step):
        return names
    try:
        return await contexts.resolve(source)
    except NgsiLdError:
        return None


def _entities(items: Sequence[Json], spoken: Sequence[Context | None]) -> tuple[tuple[Entity, ...], bool]:
    """(the entities that are well-formed, whether all are)."""
    entities = []
    for item, context in zip(items, spoken, strict=True):
        if context is not None:
            try:
                entities.append(received(item, context))
            except NgsiLdError:
                continue
    return tuple(entities), len(entities) == len(items)


def _asked_for(reply: Reply) -> Reply:
    """The reply without entities of ids that were not asked for: a source speaks for nothing else.

    To a retrieval another entity is no answer; a source that ignores ids in a query is only too generous.
    """
    step = reply.step
    if step.operation == "retrieveEntity":
        if len(reply.entities) == 1 and reply.entities[0]["id"] == step.entity_id:
            return reply
        entities = tuple(entity for entity in reply.entities if entity["id"] == step.entity_id)[:1]
        fault = reply.fault if len(entities) == len(reply.entities) else Fault.INVALID
        return replace(reply, entities=entities, fault=fault)
    if step.query is not None and step.query.ids:
        wanted = frozenset(step.query.ids)
        return replace(reply, entities=tuple(each for each in reply.entities if each["id"] in wanted))
    return reply
