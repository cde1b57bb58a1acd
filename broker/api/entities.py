"""The resources /entities and /entities/{entityId} (clauses 6.4, 6.5), and the query in a body (6.23)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import GEO_JSON, SPATIAL, negotiate
from broker.api.call import Call
from broker.api.pages import encoded, entity_links
from broker.api.representation import JOIN, VIEW, Representation, read_representation
from broker.core import Entity, Json
from broker.core.entity import parse
from broker.core.entity.linked_entities import Join
from broker.core.entity.merge import merge, patch
from broker.core.entity.sent import Form
from broker.core.entity.values import is_language, moment
from broker.core.errors import BadRequestData, ResourceNotFound
from broker.core.jsonld.context import Context
from broker.core.query import Query
from broker.core.query_body import parameters, query_body
from broker.core.selector import selector
from broker.operations import entities as operations
from broker.operations.linked_entities import linked_entities
from broker.ports.entities import Renderer

_QUERIED = p.SELECTION | p.PAGE | p.ORDER | VIEW | JOIN | {p.AFTER, "splitEntities"}
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
class Retrieved:
    """A parsed retrieval. `renderer`: for a plain one; None if conditions or a join need the entity itself.

    `gate`: the condition on its types. `attrs`: the entity must have at least one of these.
    """

    representation: Representation
    renderer: Renderer | None
    gate: operations.Gate
    attrs: tuple[str, ...]


async def create_entity(call: Call) -> web.Response:
    """6.4.3.1 POST /entities."""
    p.allow(call.params)
    doc, context = await call.body()
    entity = parse.entity(doc, context)
    await operations.create_entity(call.broker, call.tenant, entity)
    return reply.created("entities", entity["id"])


async def query_entities(call: Call) -> web.Response:
    """6.4.3.2 GET /entities."""
    p.allow(p.of_list(call.params), _QUERIED)
    return await _answer(call, call.read(_read_queried, await call.context()))


async def query_batch(call: Call) -> web.Response:
    """6.23.3.1 POST /entityOperations/query. The query is in the body; page and format are in the URL."""
    call = call.of_list()
    p.allow(call.params, p.PAGE, (p.AFTER, "options", "format", "geometryProperty"))
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
    broker, tenant, query, representation = call.broker, call.tenant, queried.query, queried.representation
    is_amended = False
    if queried.renderer is not None:
        texts_page, count = await operations.show_entities(broker, tenant, query, queried.renderer)
        texts, links = texts_page.items, entity_links(call, queried.others, query, texts_page)
    else:
        page, count = await operations.query_entities(broker, tenant, query)
        texts, is_amended = await _shown(call, page.items, representation)
        links = entity_links(call, queried.others, query, page)
    if representation.is_linked and representation.context.source is not None:
        representation = replace(representation, context=await call.named(representation.context))
    return reply.amended(reply.many_shown(representation, texts, count, links), is_amended=is_amended)


async def retrieve_entity(call: Call) -> web.Response:
    """6.5.3.1 GET /entities/{entityId}."""
    p.allow(call.params, _RETRIEVED)
    retrieved = call.read(_read_retrieved, await call.context())
    if retrieved.renderer is not None:
        text = await operations.show_entity(call.broker, call.tenant, entity_id(call), retrieved.renderer)
        return reply.one_shown(retrieved.representation, text)
    entity = await operations.retrieve_entity(call.broker, call.tenant, entity_id(call), retrieved.gate)
    if retrieved.attrs and not any(iri in entity["attrs"] for iri in retrieved.attrs):
        raise ResourceNotFound(f"{entity['id']} has none of the attributes asked for")
    return await _entity_answer(call, entity, retrieved.representation)


def _read_retrieved(call: Call, context: Context) -> Retrieved:
    representation = _representation(call, context, call.params)
    gate, attrs = p.type_gate(call.params, context), p.attrs(call.params, context)
    is_plain = gate is None and not attrs and representation.is_cacheable
    return Retrieved(representation, representation.renderer(alone=True) if is_plain else None, gate, attrs)


async def _entity_answer(call: Call, entity: Entity, representation: Representation) -> web.Response:
    """5.7.1.5: the response with an entity and, for a join, with its linked entities."""
    alone = representation.join is None or representation.join.kind == "inline"
    texts, is_amended = await _shown(call, [entity], representation, alone=alone)
    if not texts:
        raise operations.nothing_left(entity["id"])
    # With a flat join, an entity without linked entities is an object, not an array (specs/doubts.md).
    is_single = alone or (len(texts) == 1 and representation.media != GEO_JSON)
    if is_single:
        return reply.amended(reply.one_shown(representation, texts[0]), is_amended=is_amended)
    return reply.amended(reply.many_shown(representation, texts), is_amended=is_amended)


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
    gate = p.type_gate(call.params, await call.context()) if "type" in call.params else None
    await operations.delete_entity(call.broker, call.tenant, entity_id(call), gate)
    return reply.nothing()


async def replace_entity(call: Call) -> web.Response:
    """6.5.3.3 PUT /entities/{entityId}."""
    p.allow(call.params, ("type",))
    target = entity_id(call)
    doc, context = await call.body()
    entity = parse.entity({"id": target, **doc}, context)
    if entity["id"] != target:
        raise BadRequestData("id: expected the id in the path, or none")
    gate = p.type_gate(call.params, context)
    await operations.replace_entity(call.broker, call.tenant, target, entity, gate)
    return reply.nothing()


async def merge_entity(call: Call) -> web.Response:
    """6.5.3.4 PATCH /entities/{entityId}."""
    p.allow(call.params, ("type", "format", "options", "lang", "observedAt"))
    target = entity_id(call)
    doc, context = await call.body()
    same_id(doc, target)
    fragment = patch(doc, _form(call, context))
    observed_at = moment(call.params["observedAt"], "observedAt") if "observedAt" in call.params else None
    gate = p.type_gate(call.params, context)
    rule = merge(target, fragment, observed_at)
    await operations.merge_entity(call.broker, call.tenant, target, rule, gate)
    return reply.nothing()


async def purge_entities(call: Call) -> web.Response:
    """6.4.3.3 DELETE /entities."""
    p.allow(call.params, p.SELECTION, ("keep", "drop"))
    is_nameless = call.params.keys() <= p.NAMELESS
    context = await (call.context_for(None) if is_nameless else call.context())
    query = p.check_depth(p.read_query(call.params, context, call.broker.limits), 0)
    await operations.purge_entities(call.broker, call.tenant, query, p.read_purge(call.params, context))
    return reply.nothing()


def _form(call: Call, context: Context) -> Form:
    """5.6.17: the form in which the client wrote the fragment to merge."""
    chosen = p.read_format(call.params)
    if "lang" in call.params and not is_language(call.params["lang"]):
        raise BadRequestData("lang: expected a language tag such as en or pt-BR")
    return Form(context, chosen == "simplified", call.params.get("lang"))


def same_id(doc: Json, target: str) -> None:
    """5.4: returns if the id of a fragment is `target` or missing; BadRequestData otherwise."""
    if isinstance(doc, dict) and doc.get("id", doc.get("@id", target)) != target:
        raise BadRequestData("id: expected the id in the path, or none")


async def without_id(call: Call) -> web.Response:
    """PUT and PATCH /entities/: BadRequestData, since the id of the entity is missing."""
    raise BadRequestData("entityId: expected a URI in the path")


def entity_id(call: Call) -> str:
    """The entity id in the path; BadRequestData if it is no URI."""
    return call.path_uri("entityId")
