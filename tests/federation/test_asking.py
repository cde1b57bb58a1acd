"""Sources are asked (6.3.17), those that misbehave too: each time there is the right reply, soon enough."""

from typing import Any

import orjson
import pytest

from broker.core.federation.origin import Origin
from broker.core.federation.step import Reply, Step
from broker.core.query import Query
from tests.core.federation.steps import ID, step
from tests.federation.rig import (
    Behaviour,
    Peer,
    answering,
    asking,
    json,
    peer,
    response,
)

pytestmark = pytest.mark.clause("6.3.17")

ORIGIN = Origin("")
ROOM = {
    "id": ID,
    "type": "Room",
    "heat": {"type": "Property", "value": 5, "modifiedAt": "2026-01-01T00:00:00Z"},
}
HEAT = "https://ex.org/t/heat"


def retrieval(there: Peer, **members: Any) -> Step:
    return step("retrieveEntity", there.source(**members), entity_id=ID)


def query(there: Peer) -> Step:
    return step("queryEntity", there.source(), query=Query())


async def replies(behaviour: Behaviour, make: Any = retrieval, times: int = 1, **limits: Any) -> list[Reply]:
    """The replies of a peer that is asked so many times, one after another."""
    async with peer(behaviour) as there, asking(**limits) as asked:
        return [(await asked.asker.ask(ORIGIN, [make(there)]))[0] for _ in range(times)]


async def reply(behaviour: Behaviour, make: Any = retrieval, **limits: Any) -> Reply:
    return (await replies(behaviour, make, **limits))[0]


async def test_a_retrieval() -> None:
    warning = '199 far "x"'
    async with peer(answering(json(ROOM, NGSILD_Warning=warning))) as there, asking() as asked:
        [found] = await asked.asker.ask(ORIGIN, [retrieval(there)])
    assert (found.status, found.fault, found.warnings) == (200, None, (warning,))
    assert found.entities == (
        {"id": ID, "type": ["https://ex.org/Room"], "attrs": {
            HEAT: [{"type": "Property", "value": 5, "modifiedAt": "2026-01-01T00:00:00"}]}},
    )  # fmt: skip
    assert asked.noted == [(found.step.match.source.id, True)]
    assert asked.contexts.asked == []
    request = there.received[0]
    assert request.target == f"/ngsi-ld/v1/entities/{ID}?options=sysAttrs"
    assert request.headers["via"] == "1.1 me"
    assert 4000 < int(request.headers["eridanus-deadline"]) <= 4500


async def test_writes_have_a_length_and_no_chunks() -> None:
    """As a server of HTTP/1.0 needs it."""
    doc = {"id": ID, "type": "Room"}
    answer = response(status=201, version="1.0")
    async with peer(answering(answer)) as there, asking() as asked:
        steps = [
            step("createEntity", there.source(), doc=doc),
            step("updateAttrs", there.source(), entity_id=ID, attr=HEAT, doc={"value": 1}),
            step("deleteEntity", there.source(), entity_id=ID),
        ]
        found = [(await asked.asker.ask(ORIGIN, [one]))[0] for one in steps]
    assert [(one.status, one.fault, one.doc) for one in found] == [(201, None, None)] * 3
    assert [orjson.loads(one.body) for one in there.received[:2]] == [doc, {"value": 1}]
    assert [one.headers.get("transfer-encoding") for one in there.received] == [None] * 3
