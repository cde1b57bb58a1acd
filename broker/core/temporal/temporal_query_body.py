"""The temporal members of a Query (clauses 5.2.21, 5.2.23, 5.2.44), validated."""

from typing import Annotated

from pydantic import Field

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.members import Member, Texts, read
from broker.core.query_body import QueryBody, parameters, query_body

# Members that only queries of current entities have.
_ELSEWHERE = ("join", "joinLevel", "containedBy", "geometryProperty")


class AggregationParams(Member):
    """5.2.44: the methods of an aggregation, and the duration of its periods."""

    aggr_methods: str | Texts | None = None
    aggr_period_duration: str | None = None


class TemporalQ(AggregationParams):
    """5.2.21: a temporal query. `window` and `aggregation` parse its values."""

    timerel: str
    time_at: str
    end_time_at: str | None = None
    timeproperty: str | None = None
    last_n: Annotated[int, Field(ge=1)] | None = None


def temporal_query_body(doc: Json) -> tuple[QueryBody, dict[str, str]]:
    """(the query in a body, all of its members as equivalent parameters of a query string).

    Methods of aggregation imply the format aggregatedValues, which the body cannot ask for otherwise.
    BadRequestData, which names the member, if the body is not valid.
    """
    if isinstance(doc, dict) and (foreign := next((name for name in _ELSEWHERE if name in doc), None)):
        raise BadRequestData(f"{foreign}: not a member of a temporal query")
    rest, params = doc, dict[str, str]()
    if isinstance(doc, dict):
        rest = {name: value for name, value in doc.items() if name not in ("temporalQ", "aggrParams")}
        if "temporalQ" in doc:
            params |= _parameters(read(TemporalQ, doc["temporalQ"], "temporalQ"))
        if "aggrParams" in doc:
            params |= _parameters(read(AggregationParams, doc["aggrParams"], "aggrParams"))
    if "aggrMethods" in params:
        params["format"] = "aggregatedValues"
    body = query_body(rest)
    return body, parameters(body) | params


def _parameters(params: Member) -> dict[str, str]:
    members = params.model_dump(by_alias=True, exclude_none=True)
    return {
        name: ",".join(value) if isinstance(value, list) else str(value) for name, value in members.items()
    }
