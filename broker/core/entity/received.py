"""Entities as context sources send them (clauses 4.5.1 to 4.5.5, 4.8, 6.3.17)."""

from broker.core import Entity, Json
from broker.core.entity import parse
from broker.core.entity.values import ParseOptions
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context


def received(doc: Json, context: Context) -> Entity:
    """The entity in a document of a source: normalized or concise, or simplified where values tell the kind.

    Unlike an entity of a client it keeps its system attributes and tombstones (4.5.7). It has no createdAt or
    modifiedAt where the source tells none. BadRequestData if it is no entity.
    """
    draft = parse.fragment(doc, ParseOptions(context, received=True))
    if not draft.types:
        raise BadRequestData("type: expected a type name, or an array of at least one")
    times = parse.system_times(doc)
    return {"id": parse.entity_id(doc), "type": draft.types, **draft.members, **times, "attrs": draft.attrs}
