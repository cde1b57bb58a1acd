"""Which attributes an aggregated answer has to refuse (clause 5.7.4.4)."""

from collections.abc import Callable, Sequence

from broker.core.errors import InvalidRequest
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.aggregation import takes


def check_eligible(
    evolutions: Sequence[Evolution], query: TemporalQuery, compact: Callable[[str], str]
) -> None:
    """InvalidRequest if the query names an attribute, but no method can take any of its values.

    Of attributes that it does not name, and of series beside others that a method can take, methods and
    series are merely left out.
    """
    if query.aggregation is None:
        return
    methods = query.aggregation.methods
    for iri in query.named:
        series = [one for evolution in evolutions for one in evolution.aggregates.get(iri, ())]
        if series and not any(takes(method, one.periods) for one in series for method in methods):
            names = ", ".join(methods)
            raise InvalidRequest(f"aggrMethods: {compact(iri)} has no values that {names} can take")
