"""The resources /entities and /entities/{entityId} (clauses 6.4, 6.5), and the query in a body (6.23)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import GEO_JSON, SPATIAL, negotiate
from broker.api.call import Call
from broker.api.pages import Link, encoded, entity_links
from broker.api.representation import JOIN, VIEW, Representation, read_representation
from broker.api.writes import done, entity_id, new_write, read_write
from broker.core import Entity
from broker.core.entity import parse
from broker.core.entity.linked_entities import Join
from broker.core.entity.sent import Form
from broker.core.entity.values import is_language, moment
from broker.core.errors import BadRequestData, ResourceNotFound
from broker.core.jsonld.context import Context
from broker.core.lang import types as type_language
from broker.core.lang.types import TypeSelection
from broker.core.query import AFTER, Query
from broker.core.query_body import parameters, query_body
from broker.core.selector import selector
from broker.operations import distributed_query
from broker.operations import entities as operations
from broker.operations import entity_writes as writes
from broker.operations.distributed import retrieved
from broker.operations.linked_entities import linked_entities
from broker.ports.entities import Renderer

_QUERIED = p.SELECTION | p.PAGE | p.ORDER | VIEW | JOIN | {AFTER, "splitEntities"}
_RETRIEVED = VIEW | JOIN | {"type"}


@dataclass(frozen=True, slots=True)
class Queried:
    """A parsed query.

    `renderer`: for a cacheable representation; None for one that needs more than an entity.
    """

    query: Query
    representation: Representation
    renderer: Renderer | None
    others: tuple[str, ...]  # the parameters that all its pages share, encoded


@dataclass(frozen=True, slots=True)
class Wanted:
    """A parsed retrieval. `renderer`: for a plain one; None if conditions or a join need the entity itself.

    `attrs`: the entity must have at least one of these. `types`: it must be of these. `parts`: the attributes
    that are asked for; none for all.
    """

    representation: Representation
    renderer: Renderer | None
    attrs: tuple[str, ...]
    types: TypeSelection | None
    parts: frozenset[str]


async def create_entity(call: Call) -> web.Response:
    """6.4.3.1 POST /entities."""
    p.allow(call.params)
    doc, context = await call.body()
    write = new_write(call, "createEntity", parse.entity_id(doc), context, doc)
    settled = await writes.create_entity(call.broker, call.origin, write)
    return done(settled, write.entity_id, reply.created("entities", write.entity_id))


async def query_entities(call: Call) -> web.Response:
    """6.4.3.2 GET /entities."""
    p.allow(p.of_list(call.params), _QUERIED)
    return await _answer(call, call.read(_read_queried, await call.context()))


async def query_batch(call: Call) -> web.Response:
    """6.23.3.1 POST /entityOperations/query. The query is in the body; page and format are in the URL."""
    call = call.of_list()
    p.allow(call.params, p.PAGE, (AFTER, "options", "format", "geometryProperty"))
    doc, context = await call.query_body()
    body = query_body(doc)
    params = parameters(body) | call.params
    entities = body.entities or ()
    selectors = tuple(selector(item, context.expand) for item in entities) if len(entities) > 1 else ()
    query = p.read_query(params, context, call.broker.limits, selectors)
    return await _answer(call, _queried(query, _representation(call, context, params), call.params))


def _read_queried(call: Call, context: Context) -> Queried:
    params = p.of_list(call.params)
    representation = _representation(call, context, params)
    return _queried(p.read_query(params, context, call.broker.limits), representation, params)


def _queried(query: Query, representation: Representation, params: p.Params) -> Queried:
    p.check_depth(query, representation.join.level if representation.join else 0)
    query = replace(query, picked=representation.view.needed) if representation.view.needed else query
    return Queried(
        query,
        representation,
        representation.renderer() if representation.is_cacheable else None,
        encoded(params),
    )


async def _answer(call: Call, queried: Queried) -> web.Response:
    """The response to a query (5.7.2)."""
    shown = await _distributed(call, queried) or await _page(call, queried)
    representation = queried.representation
    if representation.is_linked and representation.context.source is not None:
        representation = replace(representation, context=await call.named(representation.context))
    answer = reply.rendered_page(representation, shown.texts, shown.count, shown.links)
    return reply.amended(answer, is_amended=shown.is_amended)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A page as it is shown: its texts, links to others, the full count, and whether it was amended."""

    texts: Sequence[bytes]
    links: Sequence[Link]
    count: int | None
    is_amended: bool = False


async def _distributed(call: Call, queried: Queried) -> _Shown | None:
    """A page of what this broker and its sources have; None if the query concerns no source."""
    found = await distributed_query.queried(
        call.broker, call.origin, queried.query, queried.representation.context
    )
    if found is None:
        return None
    call.warn(found.warnings)
    texts, is_amended = await _shown(call, found.page.items, queried.representation)
    links = entity_links(call, queried.others, queried.query, found.page)
    return _Shown(texts, links, found.count, is_amended)


async def _page(call: Call, queried: Queried) -> _Shown:
    """A page of what this broker has."""
    broker, tenant, query = call.broker, call.tenant, queried.query
    if queried.renderer is not None:
        texts, count = await operations.show_entities(broker, tenant, query, queried.renderer)
        return _Shown(texts.items, entity_links(call, queried.others, query, texts), count)
    page, count = await operations.query_entities(broker, tenant, query)
    shown, is_amended = await _shown(call, page.items, queried.representation)
    return _Shown(shown, entity_links(call, queried.others, query, page), count, is_amended)


async def retrieve_entity(call: Call) -> web.Response:
    """6.5.3.1 GET /entities/{entityId}. ResourceNotFound if it is not there, or nothing of it is shown."""
    p.allow(call.params, _RETRIEVED)
    context = await call.context()
    wanted = call.read(_read_retrieved, context)
    target = entity_id(call)
    found = await retrieved(call.broker, call.origin, target, wanted.types, wanted.parts, context)
    if found is not None:
        call.warn(found.warnings)
        return await _retrieved_answer(call, found.entity, wanted)
    if wanted.renderer is not None:
        text = await operations.show_entity(call.broker, call.tenant, target, wanted.renderer)
        return reply.rendered(wanted.representation, text)
    return await _retrieved_answer(
        call, await operations.retrieve_entity(call.broker, call.tenant, target), wanted
    )


async def _retrieved_answer(call: Call, entity: Entity | None, wanted: Wanted) -> web.Response:
    """The response with an entity that was asked for; ResourceNotFound if it is not what was asked for."""
    types = wanted.types
    if entity is None or (types is not None and not type_language.matches(types, entity["type"])):
        of_types = " of the type asked for" if types is not None else ""
        raise ResourceNotFound(f"there is no entity {entity_id(call)}{of_types}")
    if wanted.attrs and not any(iri in entity["attrs"] for iri in wanted.attrs):
        raise ResourceNotFound(f"{entity['id']} has none of the attributes asked for")
    return await _entity_answer(call, entity, wanted.representation)


def _read_retrieved(call: Call, context: Context) -> Wanted:
    representation = _representation(call, context, call.params)
    types, attrs = p.type_selection(call.params, context), p.attrs(call.params, context)
    is_plain = types is None and not attrs and representation.is_cacheable
    renderer = representation.renderer(alone=True) if is_plain else None
    picked = {iri for iri in representation.view.needed if iri != "scope"}
    return Wanted(representation, renderer, attrs, types, frozenset(attrs) | picked)


async def _entity_answer(call: Call, entity: Entity, representation: Representation) -> web.Response:
    """5.7.1.5: the response with an entity and, for a join, with its linked entities."""
    alone = representation.join is None or representation.join.kind == "inline"
    texts, is_amended = await _shown(call, [entity], representation, alone=alone)
    if not texts:
        raise operations.nothing_left(entity["id"])
    # With a flat join, an entity without linked entities is an object, not an array (specs/doubts.md).
    is_single = alone or (len(texts) == 1 and representation.media != GEO_JSON)
    if is_single:
        return reply.amended(reply.rendered(representation, texts[0]), is_amended=is_amended)
    return reply.amended(reply.rendered_page(representation, texts), is_amended=is_amended)


async def _shown(
    call: Call, entities: Sequence[Entity], representation: Representation, *, alone: bool = False
) -> tuple[list[bytes], bool]:
    """(texts of the entities without empty ones, whether an older version (4.3.6.8) changed them)."""
    texts = await _texts(call, entities, representation, alone=alone)
    if representation.view.version is None:
        return texts, False
    native = replace(representation, view=replace(representation.view, version=None))
    return texts, texts != await _texts(call, entities, native, alone=alone)


async def _texts(
    call: Call, entities: Sequence[Entity], representation: Representation, *, alone: bool
) -> list[bytes]:
    if representation.join is None:
        render = representation.renderer(alone=alone).render
        return [text for text in map(render, entities) if text]
    return await _joined(call, entities, representation, representation.join, alone=alone)


async def _joined(
    call: Call, entities: Sequence[Entity], representation: Representation, join: Join, *, alone: bool
) -> list[bytes]:
    """The texts of entities with their linked entities inside or behind them (4.5.23)."""
    linked = await linked_entities(call.broker, call.tenant, entities, representation.view, join)
    if join.kind == "inline":
        return representation.inline(entities, [entity for entity, _ in linked], join, alone=alone)
    shown = {entity["id"]: (entity, representation.view) for entity in entities}
    for entity, view in linked:
        shown.setdefault(entity["id"], (entity, view))
    return representation.flat([*shown.values()])


def _representation(call: Call, context: Context, params: p.Params) -> Representation:
    media, limits = negotiate(call.http.headers.get("Accept"), SPATIAL), call.broker.limits
    if "Prefer" not in call.http.headers:
        return read_representation(params, media, context, limits)
    prefers_json = call.preferences.get("body") == "json"
    representation = read_representation(params, media, context, limits, prefers_json=prefers_json)
    return replace(representation, view=replace(representation.view, version=call.older))


async def delete_entity(call: Call) -> web.Response:
    """6.5.3.2 DELETE /entities/{entityId}."""
    p.allow(call.params, ("type",))
    context = await (call.context() if "type" in call.params else call.context_for(None))
    write = new_write(call, "deleteEntity", entity_id(call), context)
    settled = await writes.delete_entity(call.broker, call.origin, write)
    return done(settled, write.entity_id, reply.nothing())


async def replace_entity(call: Call) -> web.Response:
    """6.5.3.3 PUT /entities/{entityId}."""
    p.allow(call.params, ("type",))
    write = await read_write(call, "replaceEntity")
    write = replace(write, doc={"id": write.entity_id, **write.doc})
    settled = await writes.replace_entity(call.broker, call.origin, write)
    return done(settled, write.entity_id, reply.nothing())


async def merge_entity(call: Call) -> web.Response:
    """6.5.3.4 PATCH /entities/{entityId}. BadRequestData if a parameter is wrong."""
    p.allow(call.params, ("type", "format", "options", "lang", "observedAt"))
    write = await read_write(call, "mergeEntity")
    form = _form(call, write.context)
    observed_at = moment(call.params["observedAt"], "observedAt") if "observedAt" in call.params else None
    settled = await writes.merge_entity(call.broker, call.origin, write, form, observed_at)
    return done(settled, write.entity_id, reply.nothing())


async def purge_entities(call: Call) -> web.Response:
    """6.4.3.3 DELETE /entities."""
    p.allow(call.params, p.SELECTION, ("keep", "drop"))
    is_nameless = call.params.keys() <= p.NAMELESS
    context = await (call.context_for(None) if is_nameless else call.context())
    purge = p.read_purge(call.params, context, call.broker.limits)
    settled = await writes.purge_entities(call.broker, call.origin, purge, context)
    return done(settled, None, reply.nothing())


def _form(call: Call, context: Context) -> Form:
    """5.6.17: the form in which the client wrote the fragment to merge."""
    chosen = p.read_format(call.params)
    if "lang" in call.params and not is_language(call.params["lang"]):
        raise BadRequestData("lang: expected a language tag such as en or pt-BR")
    return Form(context, chosen == "simplified", call.params.get("lang"))


async def without_id(call: Call) -> web.Response:
    """PUT and PATCH /entities/: BadRequestData, since the id of the entity is missing."""
    raise BadRequestData("entityId: expected a URI in the path")
