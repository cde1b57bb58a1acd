"""Outcomes of distributed writes, row by row (5.6.1.4 ff, 6.3.17)."""

import pytest

from broker.core.entity.update import UpdateResult
from broker.core.errors import (
    AlreadyExists,
    BadGateway,
    Conflict,
    GatewayTimeout,
    LoopDetected,
    NgsiLdError,
    ResourceNotFound,
)
from broker.core.federation.distribution import plan_write
from broker.core.federation.settle import Settled, settle
from broker.core.federation.source import Match
from broker.core.federation.step import Fault, Reply
from broker.core.federation.write import Write
from tests.core.documents import CORE, V
from tests.core.federation.sources import matched

SPEED, HEAT = V + "speed", V + "heat"
EXCLUSIVE = matched("exclusive", "exclusive", [SPEED])
REDIRECT = matched("redirect", "redirect")
OTHER = matched("other", "redirect")
INCLUSIVE = matched("inclusive")
WITHOUT = matched("without", "redirect", operations=["retrieveOps"])
DOC = {"id": "urn:v:1", "type": "Vehicle", "speed": 1, "heat": 2}
Came = int | Fault | tuple[int, object]


def outcome(
    matches: list[Match],
    replies: list[Came],
    here: UpdateResult | NgsiLdError | None = None,
    operation: str = "createEntity",
) -> Settled:
    """What settles, for replies of a status, a status and a body, or a fault."""
    doc = None if operation == "deleteEntity" else DOC
    plan = plan_write(matches, Write(operation, "urn:v:1", CORE, doc))
    came = []
    for step, reply in zip(plan.steps, replies, strict=True):
        status, body = reply if isinstance(reply, tuple) else (reply, None)
        fault = status if isinstance(status, Fault) else None
        came.append(Reply(step, None if fault else int(status), fault, body))  # type: ignore[arg-type]
    return settle(plan, here, came)


def failed(settled: Settled) -> list[tuple[type, str | None]]:
    return [(type(failure.error), failure.registration) for failure in settled.failures]


def test_all_parts_done() -> None:
    settled = outcome([EXCLUSIVE, INCLUSIVE], [201, 204])
    assert not settled.failures
    assert set(settled.updated) == {SPEED, HEAT}


@pytest.mark.clause("6.3.17")
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (404, ResourceNotFound),
        (409, Conflict),
        ((409, {"type": "https://uri.etsi.org/ngsi-ld/errors/AlreadyExists"}), AlreadyExists),
        (Fault.TIMEOUT, GatewayTimeout),
        (Fault.COOLING, GatewayTimeout),
        (Fault.REFUSED, BadGateway),
        (Fault.INVALID, BadGateway),
        (403, BadGateway),
        (500, BadGateway),
        (400, BadGateway),
        (301, BadGateway),
        (508, LoopDetected),
    ],
)
def test_the_error_of_the_one_source_is_the_error(reply: Came, error: type[NgsiLdError]) -> None:
    with pytest.raises(error) as raised:
        outcome([REDIRECT], [reply])
    assert "urn:r:redirect" in raised.value.detail
    assert "example" not in raised.value.detail  # never the endpoint


def test_sources_with_the_same_error_have_one() -> None:
    with pytest.raises(ResourceNotFound):
        outcome([REDIRECT, OTHER], [404, 404])


def test_sources_with_different_errors_are_listed() -> None:
    settled = outcome([REDIRECT, OTHER], [404, 500])
    assert not settled.is_done
    # in the order of the parts
    assert failed(settled) == [(ResourceNotFound, "urn:r:redirect"), (BadGateway, "urn:r:other")]


def test_a_source_that_does_not_offer_the_operation_is_a_conflict() -> None:
    with pytest.raises(Conflict):
        outcome([WITHOUT], [])


def test_an_inclusive_source_fails_beside_what_is_done_here() -> None:
    settled = outcome([INCLUSIVE], [409])
    assert settled.is_done
    assert failed(settled) == [(Conflict, "urn:r:inclusive")]


def test_both_fail_and_both_are_listed() -> None:
    settled = outcome([INCLUSIVE], [409], AlreadyExists("there"))
    assert not settled.is_done
    assert len(settled.failures) == 2


def test_a_loop_of_an_inclusive_source_is_no_error() -> None:
    assert not outcome([INCLUSIVE], [508]).failures
    with pytest.raises(AlreadyExists):
        outcome([INCLUSIVE], [508], AlreadyExists("there"))


@pytest.mark.parametrize("reply", [204, 404])
def test_what_is_proxied_need_not_be_here(reply: int) -> None:
    missing = ResourceNotFound("not here")
    if reply == 204:
        assert not outcome([REDIRECT], [204], missing, "deleteEntity").failures
        return
    with pytest.raises(ResourceNotFound):
        outcome([REDIRECT], [404], missing, "deleteEntity")


def test_what_is_included_is_missed_here() -> None:
    settled = outcome([INCLUSIVE], [204], ResourceNotFound("not here"), "deleteEntity")
    assert failed(settled) == [(ResourceNotFound, None)]


def test_a_source_that_did_a_part_says_which() -> None:
    body = {"updated": ["heat"], "notUpdated": [{"attributeName": "speed", "reason": "too fast\n"}]}
    settled = outcome([REDIRECT], [(207, body)], operation="appendAttrs")
    assert settled.updated == (HEAT,)
    [failure] = settled.failures
    assert (failure.attrs, failure.error.detail) == ((SPEED,), "too fast")


def test_a_source_that_did_a_part_without_saying_which_did_nothing_for_sure() -> None:
    settled = outcome([REDIRECT], [207], operation="appendAttrs")
    assert not settled.updated
    assert {name for failure in settled.failures for name in failure.attrs} == {SPEED, HEAT}


def test_an_attribute_that_failed_somewhere_is_not_updated() -> None:
    here = UpdateResult([SPEED], [(HEAT, "there already")])
    settled = outcome([INCLUSIVE], [500], here, "appendAttrs")
    assert not settled.updated
    assert [failure.attrs for failure in settled.failures] == [(SPEED, HEAT), (HEAT,)]
