"""The grammar of scopeQ (4.19) and what it selects."""

import pytest

from broker.core.errors import BadRequestData, NgsiLdError, TooComplexQuery
from broker.core.lang import scope

pytestmark = pytest.mark.clause("4.19")

MADRID = ("/Madrid/Gardens/ParqueNorte", "CompanyA/OrganizationB/UnitC")


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("/Madrid/Gardens/ParqueNorte", True),
        ("Madrid/Gardens/ParqueNorte", True),
        ("/CompanyA/OrganizationB/UnitC", True),
        ("/Madrid", False),
        ("/Madrid/Gardens", False),
        ("/Madrid/#", True),
        ("/Madrid/Gardens/ParqueNorte/#", True),
        ("/Madrid/Gardens/ParqueNorte/Parterre1/#", False),
        ("/Madrid/Gard/#", False),
        ("/#", True),
        ("/+/#", True),
        ("/Madrid/+/ParqueNorte", True),
        ("/+/+/+", True),
        ("/+/+", False),
        ("/Madrid/+", False),
        ("/Madrid/+/#", True),
        ("(/Madrid/#;/CompanyA/#)", True),
        ("/Madrid/#;/CompanyA/#", True),
        ("(/Madrid/#;/CompanyB/#)", False),
        ("(/Madrid/#;/CompanyB/#)|/CompanyA/+/UnitC", True),
        ("(/Madrid/#;/CompanyB/#) , /#", True),
        ("/CompanyB,/CompanyC", False),
    ],
)
def test_what_is_selected(text: str, selected: bool) -> None:
    query = scope.parse(text)
    assert scope.matches(query, MADRID) is selected
    assert scope.parse(str(query)) == query
    assert not scope.matches(query, ())


@pytest.mark.parametrize(
    "text",
    ["", "/", "//A", "/A/", "/A//B", "A-b", "/1", "/A/#/B", "#", "/A#", "(/A", "/A)", "((/A))", "/A;", "|/A"],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"^scopeQ, character"):
        scope.parse(text)


@pytest.mark.parametrize("text", ["|".join(["/A", *(f"/A{n}" for n in range(500))]), "/A" * 101])
def test_too_much_is_too_complex(text: str) -> None:
    with pytest.raises(TooComplexQuery, match=r"^scopeQ: expected at most"):
        scope.parse(text)


def test_long_nonsense_is_refused_at_once() -> None:
    for text in ("(" * 100_000, "/+" * 100_000 + "-", "/A;" * 100_000):
        with pytest.raises(NgsiLdError):
            scope.parse(text)
