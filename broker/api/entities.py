"""/entities (clauses 6.4 and 6.5)."""

import orjson
from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import GEO_JSON, LD_JSON, SPATIAL, negotiate
from broker.api.call import Call
from broker.core import Entity, Json
from broker.core.entity import parse
from broker.core.entity.geojson import collection, feature
from broker.core.entity.merge import merge
from broker.core.entity.values import Reading, moment
from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData, ResourceNotFound
from broker.core.jsonld.context import Context
from broker.core.uri import is_uri
from broker.operations import entities as operations
from broker.ports import Renderer


async def create_entity(call: Call) -> web.Response:
    """6.4.3.1 POST /entities."""
    p.allow(call.params)
    doc, context = await call.body()
    entity = parse.entity(doc, context)
    await operations.create_entity(call.broker, call.tenant, entity)
    return reply.created("entities", entity["id"])


async def query_entities(call: Call) -> web.Response:
    """6.4.3.2 GET /entities."""
    p.allow(call.params, p.SELECTION, p.PAGE, p.VIEW, ("geometryProperty",))
    media = negotiate(call.http.headers.get("Accept"), SPATIAL)
    context = await call.context()
    query = p.read_query(call.params, context, call.broker.limits)
    shape, geometry = p.read_view(call.params, context), _geometry_property(call, context, media)
    if media == GEO_JSON:
        found, count, more = await operations.query_entities(call.broker, call.tenant, query)
        pages = reply.page_links(call, query.limit, query.offset, more)
        features = [feature(one, context, shape, geometry) for one in found]
        return reply.spatial(call, collection(features), context, count, pages)
    renderer = _renderer(media, context, shape)
    texts, count, more = await operations.show_entities(call.broker, call.tenant, query, renderer)
    pages = reply.page_links(call, query.limit, query.offset, more)
    return reply.many_shown(media, texts, context, count, pages)


async def retrieve_entity(call: Call) -> web.Response:
    """6.5.3.1 GET /entities/{entityId}."""
    p.allow(call.params, p.VIEW, ("type", "geometryProperty"))
    media = negotiate(call.http.headers.get("Accept"), SPATIAL)
    context = await call.context()
    shape, gate = p.read_view(call.params, context), p.type_gate(call.params, context)
    geometry = _geometry_property(call, context, media)
    if gate is None and not shape.attrs and media != GEO_JSON:
        renderer = _renderer(media, context, shape)
        text = await operations.show_entity(call.broker, call.tenant, entity_id(call), renderer)
        return reply.one_shown(media, text, context)
    entity = await operations.retrieve_entity(call.broker, call.tenant, entity_id(call), gate)
    if shape.attrs and not any(iri in entity["attrs"] for iri in shape.attrs):
        raise ResourceNotFound(f"{entity['id']} has none of the attributes asked for")
    if media == GEO_JSON:
        return reply.spatial(call, feature(entity, context, shape, geometry), context)
    return reply.one(call, view(entity, context, shape), context)


def _renderer(media: str, context: Context, shape: View) -> Renderer:
    """How entities are shown in answers of this media type."""

    def render(entity: Entity) -> bytes:
        doc = view(entity, context, shape)
        if media == LD_JSON:
            doc["@context"] = reply.source(context)
        return orjson.dumps(doc)

    return Renderer((media, context, shape), render)


def _geometry_property(call: Call, context: Context, media: str) -> str:
    """The IRI of the GeoProperty that is to be the geometry (6.3.15)."""
    name = call.params.get("geometryProperty")
    if name is not None and media != GEO_JSON:
        raise BadRequestData("geometryProperty: expected only where application/geo+json is accepted")
    return parse.attribute_name(name or "location", context)


async def delete_entity(call: Call) -> web.Response:
    """6.5.3.2 DELETE /entities/{entityId}."""
    p.allow(call.params, ("type",))
    gate = p.type_gate(call.params, await call.context())
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
    reading = _merging(call, context)
    observed_at = moment(call.params["observedAt"], "observedAt") if "observedAt" in call.params else None
    rule = merge(target, parse.fragment(doc, reading), reading, observed_at)
    gate = p.type_gate(call.params, context)
    await operations.merge_entity(call.broker, call.tenant, target, rule, gate)
    return reply.nothing()


async def purge_entities(call: Call) -> web.Response:
    """6.4.3.3 DELETE /entities."""
    p.allow(call.params, p.SELECTION, ("keep", "drop"))
    context = await call.context()
    query = p.read_query(call.params, context, call.broker.limits)
    await operations.purge_entities(call.broker, call.tenant, query, p.read_purge(call.params, context))
    return reply.nothing()


def _merging(call: Call, context: Context) -> Reading:
    """5.6.17: how a fragment is to be read that is merged."""
    chosen = p.read_format(call.params)
    return Reading(
        context, nulls=True, deep=True, simplified=chosen == "simplified", language=call.params.get("lang")
    )


def same_id(doc: Json, target: str) -> None:
    """5.4: a fragment names the entity that it is for, or none."""
    if isinstance(doc, dict) and doc.get("id", doc.get("@id", target)) != target:
        raise BadRequestData("id: expected the id in the path, or none")


async def without_id(call: Call) -> web.Response:
    """PUT and PATCH /entities/, where the id of an entity is missing."""
    raise BadRequestData("entityId: expected a URI in the path")


def entity_id(call: Call) -> str:
    """The entity id in the path; BadRequestData if it is no URI."""
    if not is_uri(call.path[0]):
        raise BadRequestData("entityId: expected a URI in the path")
    return call.path[0]
