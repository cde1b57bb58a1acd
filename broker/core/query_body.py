"""Query (clause 5.2.23 and its data types): a query in the body of a request, validated."""

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
    """5.2.43: the order of entities."""

    order_by: Texts | None = None
    collation: str | None = None
    coordinates: list[Json] | None = None
    geometry: str | None = None


class QueryBody(Member):
    """5.2.23: a query of current entities. Its temporal members are read by `temporal_query_body`.

    `geometryProperty` is not in the clause, but clients and the ETSI suite send it here.
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
    """The query in a body. BadRequestData, which names the member, if it is not valid."""
    return read(QueryBody, doc, "query")


def parameters(body: QueryBody) -> dict[str, str]:
    """The members as equivalent parameters of a query string. Several `entities` have no equivalent."""
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
    members = ordering.model_dump(by_alias=True, exclude_none=True)
    names = {"coordinates": "orderFrom", "geometry": "orderGeometry"}
    return {names.get(name, name): value for name, value in members.items()}


def _selection(selector: EntitySelector) -> dict[str, Json]:
    """The parameters of a selector; an id takes precedence over a pattern (5.2.33)."""
    if selector.id is not None:
        return {"type": selector.type, "id": [selector.id] if isinstance(selector.id, str) else selector.id}
    return (
        {"type": selector.type}
        if selector.id_pattern is None
        else {"type": selector.type, "idPattern": selector.id_pattern}
    )


def _text(name: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    is_listed = isinstance(value, list) and name not in ("coordinates", "orderFrom")
    return ",".join(value) if is_listed else orjson.dumps(value).decode()
