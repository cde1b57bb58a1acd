"""For how long history is kept."""

import pytest

from broker.core.errors import BadRequestData
from broker.core.temporal.retention import parse

DAY = 86_400_000_000


def expand(name: str) -> str:
    return f"https://ex.org/{name}"


@pytest.mark.parametrize(
    ("types", "attribute", "days"),
    [
        (["A"], "x", 1),
        (["B"], "x", 2),
        (["A"], "y", 3),
        (["C"], "y", 7),
        (["C", "A"], "y", 3),
        (["A", "D"], "y", 5),
        (["A", "D"], "x", 4),
    ],
)
def test_what_says_most_decides(types: list[str], attribute: str, days: int) -> None:
    rules = parse(["*=P7D", "x@A=P1D", "x=P2D", "@A=P3D", "x@D=P4D", "@D=P5D"], expand)
    assert rules.age([expand(one) for one in types], expand(attribute)) == days * DAY


def test_without_a_rule_history_is_kept() -> None:
    assert parse(["x@A=P1D"], expand).age([expand("A")], expand("y")) is None
    assert parse([], expand).age([], expand("y")) is None


def test_months_are_of_mean_length() -> None:
    assert parse(["*=P1Y"], expand).age([], "x") == pytest.approx(365.2425 * DAY, abs=DAY / 1000)


@pytest.mark.parametrize("text", ["", "x", "=P1D", "x@=P1D", "*@A=P1D", "x=P", "x=1D", "x=P0D", "x=PT0S"])
def test_what_is_wrong_is_said(text: str) -> None:
    with pytest.raises(BadRequestData):
        parse([text], expand)


def test_a_length_that_is_none_is_one_of_the_rule() -> None:
    with pytest.raises(BadRequestData, match=r"^'\*=1Y': expected an ISO 8601 duration such as .*P1Y"):
        parse(["*=1Y"], expand)
