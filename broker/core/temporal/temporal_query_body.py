"""The temporal members of a Query (clauses 5.2.21, 5.2.23, 5.2.44), validated."""

from typing import Annotated

from pydantic import Field

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.members import Member, Texts, read
from broker.core.query_body import QueryBody, parameters, query_body

_ELSEWHERE = (
    "join",
    "joinLevel",
    "containedBy",
    "geometryProperty",
)  # of queries of entities as they are now


class AggregationParams(Member):
    """5.2.44: what to aggregate to, and over which periods."""

    aggr_methods: str | Texts | None = None
    aggr_period_duration: str | None = None


class TemporalQ(AggregationParams):
    """5.2.21: a temporal query, whose values `window` and `aggregation` parse."""

    timerel: str
    time_at: str
    end_time_at: str | None = None
    timeproperty: str | None = None
    last_n: Annotated[int, Field(ge=1)] | None = None


def temporal_query_body(doc: Json) -> tuple[QueryBody, dict[str, str]]:
    """The query in a body, and all of it as the parameters of a query string that say the same.

    Methods of aggregation ask for aggregated values, since the body has no other place to do so. Raises
    BadRequestData, which names the member.
    """
    if isinstance(doc, dict) and (strange := next((name for name in _ELSEWHERE if name in doc), None)):
        raise BadRequestData(f"{strange}: not a member of a temporal query")
    plain, params = doc, dict[str, str]()
    if isinstance(doc, dict):
        plain = {name: value for name, value in doc.items() if name not in ("temporalQ", "aggrParams")}
        if "temporalQ" in doc:
            params |= _parameters(read(TemporalQ, doc["temporalQ"], "temporalQ"))
        if "aggrParams" in doc:
            params |= _parameters(read(AggregationParams, doc["aggrParams"], "aggrParams"))
    if "aggrMethods" in params:
        params["format"] = "aggregatedValues"
    body = query_body(plain)
    return body, parameters(body) | params


def _parameters(found: Member) -> dict[str, str]:
    members = found.model_dump(by_alias=True, exclude_none=True)
    return {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in members.items()
    }
