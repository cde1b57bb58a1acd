"""Query (clause 5.2.23 and the types it is made of): a query in the body of a request, validated."""

from typing import Annotated, Literal

import orjson
from pydantic import Field

from broker.core import Json
from broker.core.members import Dataset, Member, Texts, Uri, read
from broker.core.selector import EntitySelector


class GeoQ(Member):
    """5.2.13: a geoquery."""

    georel: str
    geometry: str
    coordinates: list[Json] | str
    geoproperty: str | None = None


class OrderingParams(Member):
    """5.2.43: what puts entities in order."""

    order_by: Texts | None = None
    collation: str | None = None
    coordinates: list[Json] | None = None
    geometry: str | None = None


class QueryBody(Member):
    """5.2.23: a query of entities as they are now. Temporal members are of another operation's body.

    `geometryProperty` is not of the clause: clients, and the ETSI suite, send it here, too.
    """

    type: Literal["Query"]
    entities: Annotated[list[EntitySelector], Field(min_length=1, max_length=500)] | None = None
    q: str | None = None
    geo_q: GeoQ | None = Field(default=None, alias="geoQ")
    scope_q: str | None = Field(default=None, alias="scopeQ")
    attrs: Texts | None = None
    pick: Texts | None = None
    omit: Texts | None = None
    csf: str | None = None
    lang: str | None = None
    dataset_id: Annotated[list[Dataset], Field(min_length=1)] | None = None
    expand_values: str | None = None
    json_keys: str | None = None
    join: Literal["flat", "inline", "@none"] | None = None
    join_level: Annotated[int, Field(ge=1)] | None = None
    contained_by: Annotated[list[Uri], Field(min_length=1)] | None = None
    ordering: OrderingParams | None = None
    split_entities: bool | None = None
    geometry_property: str | None = None


def query_body(doc: Json) -> QueryBody:
    """The query in a body; BadRequestData, which names the member, if it is none."""
    return read(QueryBody, doc, "query")


def parameters(body: QueryBody) -> dict[str, str]:
    """The members as the parameters of a query string that say the same; several `entities` have none."""
    plain: dict[str, Json] = body.model_dump(
        by_alias=True, exclude_none=True, exclude={"type", "entities", "geo_q", "ordering"}
    )
    if body.geo_q is not None:
        plain |= body.geo_q.model_dump(exclude_none=True)
    if body.ordering is not None:
        plain |= _ordering(body.ordering)
    if body.entities is not None and len(body.entities) == 1:
        plain |= _selection(body.entities[0])
    return {name: _text(name, value) for name, value in plain.items()}


def _ordering(ordering: OrderingParams) -> dict[str, Json]:
    found = ordering.model_dump(by_alias=True, exclude_none=True)
    names = {"coordinates": "orderFrom", "geometry": "orderGeometry"}
    return {names.get(name, name): value for name, value in found.items()}


def _selection(one: EntitySelector) -> dict[str, Json]:
    """An id beats a pattern (5.2.33)."""
    if one.id is not None:
        return {"type": one.type, "id": [one.id] if isinstance(one.id, str) else one.id}
    return {"type": one.type} if one.id_pattern is None else {"type": one.type, "idPattern": one.id_pattern}


def _text(name: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    is_listed = isinstance(value, list) and name not in ("coordinates", "orderFrom")
    return ",".join(value) if is_listed else orjson.dumps(value).decode()
