"""Warnings (6.3.17), row by row."""

import re

import pytest

from broker.core.federation.step import Fault, Reply
from broker.core.federation.warnings import warnings_of
from tests.core.federation.steps import reply

pytestmark = pytest.mark.clause("6.3.17")


@pytest.mark.parametrize(
    ("came", "code"),
    [
        (reply(fault=Fault.TIMEOUT), "199"),
        (reply(fault=Fault.REFUSED), "199"),
        (reply(fault=Fault.COOLING), "199"),
        (reply(508), "199"),
        (reply(200, Fault.INVALID), "111"),
        (reply(200, Fault.TOO_LARGE), "111"),
        (reply(500), "299"),
        (reply(403), "299"),
        (reply(307), "299"),
        (reply(200), None),
        (reply(404), None),
        (reply(404, doc={"type": "https://uri.etsi.org/ngsi-ld/errors/NonexistentTenant"}), None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_codes(came: Reply, code: str | None) -> None:
    texts = warnings_of([came], "city~t")
    assert [text[:3] for text in texts] == ([] if code is None else [code])
    assert all(re.fullmatch(r'\d{3} city~t "urn:r:new: [^"]+"', text) for text in texts)


def test_a_network_cannot_be_scanned() -> None:
    """What does not answer, is not there, or may not be asked is told in the same words."""
    faults = (Fault.TIMEOUT, Fault.REFUSED, Fault.COOLING)
    assert len({*warnings_of([reply(fault=fault) for fault in faults], "me")}) == 1
    assert "source" not in warnings_of([reply(fault=Fault.REFUSED)], "me")[0].removeprefix("199 me")


def test_those_of_others_are_passed_on() -> None:
    long = '199 far "' + "x" * 300 + '"'
    came = reply(200, warnings=('299 far "boom"', "a\r\nb\x00é\t", long, " "))
    assert warnings_of([came, came], "me") == ['299 far "boom"', "ab", long[:200]]


def test_both() -> None:
    assert [text[:3] for text in warnings_of([reply(500, warnings=('199 far "x"',))], "me")] == ["299", "199"]


def test_there_are_at_most_fifty() -> None:
    many = [reply(200, warnings=tuple(f'199 b{number} "x"' for number in range(40)))]
    assert len(warnings_of([*many, reply(200, warnings=tuple(f"299 c{n}" for n in range(40)))], "me")) == 50


def test_an_id_that_headers_cannot_hold() -> None:
    came = reply(500)
    source = came.step.match.source
    object.__setattr__(source, "id", 'urn:r:é"')
    assert warnings_of([came], "me") == ['299 me "urn:r:?\': answered with status 500"']
