"""Refuses aggregations of attributes whose values no method can aggregate (clause 5.7.4.4)."""

from collections.abc import Callable, Sequence

from broker.core.errors import InvalidRequest
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.aggregation import takes


def check_eligible(
    evolutions: Sequence[Evolution], query: TemporalQuery, compact: Callable[[str], str]
) -> None:
    """InvalidRequest if the query names an attribute, and no method is eligible for any of its values.

    Attributes that the query does not name are no error: the answer leaves out methods and series without a
    result.
    """
    if query.aggregation is None:
        return
    methods = query.aggregation.methods
    for iri in query.named:
        series = [aggregate for evolution in evolutions for aggregate in evolution.aggregates.get(iri, ())]
        if series and not any(takes(method, aggregate.periods) for aggregate in series for method in methods):
            names = ", ".join(methods)
            raise InvalidRequest(f"aggrMethods: {compact(iri)} has no values that {names} can take")
