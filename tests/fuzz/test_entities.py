"""Entities and what is done to them: what is refused changes nothing, and no NGSI-LD Null is ever seen."""

import asyncio
import secrets
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Json
from tests.api.conftest import JSON
from tests.core.documents import NULL, attributes, entities, json_values
from tests.fuzz.strategies import NAMES, fragments, nulled, wild_fragments
from tests.fuzz.test_requests import hurried
from tests.fuzz.wire import Reply, Request, Wire

Step = tuple[str, str, Json]
World = tuple[list[Json], list[Step], int]
TENANT = "fuzz-entities"
STEPS = 8


def _without_id(doc: Json) -> Json:
    return {name: one for name, one in doc.items() if name != "id"} if isinstance(doc, dict) else doc


def steps() -> st.SearchStrategy[Step]:
    """Something done to an entity: method, the end of the path, document."""
    names = st.sampled_from(NAMES)
    attribute = st.one_of(attributes(), nulled(attributes()), json_values(4), st.just({"value": NULL}))
    fragment = fragments() | wild_fragments()
    return st.one_of(
        st.tuples(
            st.just("PATCH"),
            st.sampled_from(["", "", "?options=keyValues", "?lang=fr&format=simplified"]),
            fragment,
        ),
        st.tuples(st.just("PATCH"), st.just("/attrs"), fragment),
        st.tuples(st.just("POST"), st.sampled_from(["/attrs", "/attrs?options=noOverwrite"]), fragment),
        st.tuples(st.sampled_from(["PATCH", "PUT"]), names.map("/attrs/{}".format), attribute),
        st.tuples(st.just("DELETE"), names.map("/attrs/{}?deleteAll=true".format), st.none()),
        st.tuples(st.just("PUT"), st.just(""), (entities() | nulled(entities())).map(_without_id)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Json], list[Step], int]:
    """A few entities, things done to them, and the seed of the dice that bring them together."""
    docs = draw(st.lists(entities() | nulled(entities()), min_size=2, max_size=2))
    return docs, draw(st.lists(steps(), min_size=8, max_size=8)), draw(st.integers(0, 2**64))


@given(world=worlds())
@settings(hurried, max_examples=4)
async def test_what_is_refused_changes_nothing(wires: list[Wire], world: World) -> None:
    await lived(wires, *world)


@pytest.mark.slow
@given(world=worlds())
@settings(hurried, max_examples=12)
async def test_what_is_refused_changes_nothing_at_length(wires: list[Wire], world: World) -> None:
    await lived(wires, *world)


async def lived(wires: list[Wire], docs: list[Json], pool: list[Step], seed: int) -> None:
    """The lives of as many entities as there are connections, side by side, in a tenant that is there."""
    await wires[0].send(_request("POST", "", {"id": f"urn:x:{secrets.token_hex(8)}", "type": "T"}))
    dice = Random(seed)
    lives = [(deepcopy(dice.choice(docs)), dice.choices(pool, k=STEPS)) for _ in wires]
    async with asyncio.TaskGroup() as tasks:
        for wire, life in zip(wires, lives, strict=True):
            tasks.create_task(_live(wire, *life))


async def _live(wire: Wire, doc: Json, steps: list[Step]) -> None:
    entity_id = f"urn:x:{secrets.token_hex(8)}"
    if isinstance(doc, dict) and isinstance(doc.get("id"), str):
        doc["id"] = entity_id
    made = await wire.send(_request("POST", "", doc))
    before = await _seen(wire, entity_id)
    assert before.status == (200 if made.status == 201 else 404)
    for method, end, body in steps:
        reply = await wire.send(_request(method, f"/{entity_id}{end}", body))
        after = await _seen(wire, entity_id)
        if reply.status >= 400:
            assert after.body == before.body, (method, end, body, reply, before, after)
        else:
            assert after.status == 200 or "expiresAt" in str(body), (method, end, body, after)
        before = after


async def _seen(wire: Wire, entity_id: str) -> Reply:
    """The entity as it is now."""
    reply = await wire.send(_request("GET", f"/{entity_id}?options=sysAttrs"))
    assert not nulls(reply.doc), (nulls(reply.doc), reply.body)
    return reply


def nulls(shown: Any, path: str = "") -> list[str]:
    """The members that are an NGSI-LD Null. JsonProperties may hold anything, and arrays the bare string."""
    if isinstance(shown, list):
        return [found for n, one in enumerate(shown) for found in nulls(one, f"{path}[{n}]")]
    if not isinstance(shown, dict):
        return []
    members = {f"{path}.{name}": one for name, one in shown.items() if name != "json"}
    lists = (f"{path}.valueList", f"{path}.objectList")
    found = [where for where, one in members.items() if one == NULL or (where in lists and one == [NULL])]
    return found + [inner for where, one in members.items() for inner in nulls(one, where)]


def _request(method: str, end: str, doc: Json = None) -> Request:
    headers = [("NGSILD-Tenant", TENANT)]
    body = None
    if method in ("POST", "PUT", "PATCH"):
        body = orjson.dumps(doc)
        headers += [("Content-Type", JSON), ("Content-Length", str(len(body)))]
    path = "/ngsi-ld/v1/entities" + end.replace("é", "%C3%A9").replace(
        "https://other.org/p.q", "https:%2F%2Fother.org%2Fp.q"
    )
    return Request(method, path, tuple(headers), body)


@pytest.mark.clause("5.5.4")
async def test_a_merge_stores_no_null_inside_arrays(wires: list[Wire]) -> None:
    await _live(
        wires[0],
        {"id": "urn:x:1", "type": "T", "heat": {"value": {"a": 1}}},
        [("PATCH", "", {"heat": {"value": [{"a": NULL}]}})],
    )


@pytest.mark.clause("5.6.20")
@given(doc=entities(), fragment=fragments() | wild_fragments())
@settings(hurried, max_examples=12)
async def test_one_merge_and_a_batch_of_one_are_the_same(
    wires: list[Wire], doc: dict[str, Json], fragment: dict[str, Json]
) -> None:
    one, other = (f"urn:x:{secrets.token_hex(8)}" for _ in range(2))
    for entity_id in (one, other):
        assert (await wires[0].send(_request("POST", "", {**doc, "id": entity_id}))).status == 201
    alone = await wires[0].send(_request("PATCH", f"/{one}", fragment))
    batch = _request("POST", "", [{**fragment, "id": other}])
    batched = await wires[0].send(replace(batch, target="/ngsi-ld/v1/entityOperations/merge"))
    assert (alone.status, batched.status) in ((204, 204), (400, 207)), (alone, batched)
    first, second = [await wires[0].send(_request("GET", f"/{entity_id}")) for entity_id in (one, other)]
    assert first.status == second.status
    if first.status == 200:
        assert first.doc | {"id": other} == second.doc
