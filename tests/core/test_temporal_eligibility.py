"""Which attributes an aggregated answer refuses."""

import pytest

from broker.core.errors import InvalidRequest
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.aggregation import Aggregate, Aggregation, Class, Period, Summary
from broker.core.temporal.aggregation_periods import parse
from broker.core.temporal.eligibility import check_eligible

pytestmark = pytest.mark.clause("5.7.4.4")


def evolution(**attrs: Class) -> Evolution:
    """One whose attributes have had values of these classes."""
    found = Evolution("urn:x:1", [], "", {})
    for iri, of in attrs.items():
        found.aggregates[iri] = [
            Aggregate(False, None, [Period(0, 1, {of: Summary(1, least="a", most="b")})])
        ]
    return found


def query(*attrs: str, methods: tuple[str, ...]) -> TemporalQuery:
    return TemporalQuery(Query(attrs=attrs), aggregation=Aggregation(methods, parse("PT0S")))


NUMBER_AND_TEXT = evolution(n=Class.NUMBER, t=Class.TEXT)


@pytest.mark.parametrize(
    ("attrs", "methods"),
    [
        (("n",), ("avg",)),
        (("t", "n"), ("avg", "max")),
        (("t",), ("avg", "totalCount")),
        (("unknown",), ("avg",)),
        ((), ("avg",)),
    ],
)
def test_one_method_for_each_attribute_will_do(attrs: tuple[str, ...], methods: tuple[str, ...]) -> None:
    check_eligible([NUMBER_AND_TEXT], query(*attrs, methods=methods), str)
    check_eligible([NUMBER_AND_TEXT], TemporalQuery(Query(attrs=attrs)), str)


def test_an_attribute_that_no_method_takes_is_refused() -> None:
    asked = query("n", "t", methods=("avg", "sum"))
    with pytest.raises(InvalidRequest, match="T has no values that avg, sum can take"):
        check_eligible([NUMBER_AND_TEXT, evolution(n=Class.NUMBER)], asked, str.upper)
    check_eligible([NUMBER_AND_TEXT, evolution(t=Class.NUMBER)], asked, str.upper)
