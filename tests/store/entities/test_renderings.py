"""Renderings: bounded, and of the very version that is asked for."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import orjson
import pytest

from broker.clock import Clock
from broker.core import Entity, Json
from broker.core.entity import update
from broker.core.entity.parse import Fragment
from broker.core.lang import types
from broker.core.query import Query
from broker.core.temporal.recording import Recording
from broker.ports.entities import Renderer
from broker.store.entities.entity_store import MongoEntities, ReadLimits
from broker.store.entities.renderings import Renderings
from broker.store.entities.sweeper import Sweeper
from broker.store.query.advice import Advice
from broker.store.registry.timers import Schedule
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Planner
from broker.store.writes.writer import Writer
from tests.store.writes.test_writer import Sink

SHOW = Renderer(lambda entity: orjson.dumps([entity["id"], entity["attrs"]["n"][0]["value"]]))
ALL = Query(types=types.parse("T", str))


def test_another_version_is_not_given() -> None:
    kept = Renderings(10_000)
    kept.put(("", "urn:x:1", "k"), 5, b"old")
    assert kept.get(("", "urn:x:1", "k"), 5) == b"old"
    assert kept.get(("", "urn:x:1", "k"), 6) is None
    assert kept.get(("t", "urn:x:1", "k"), 5) is None


def test_the_oldest_go_when_there_are_too_many() -> None:
    kept = Renderings(3 * 500)
    for n in range(10):
        kept.put(("", f"urn:x:{n}", "k"), 1, b"x" * 100)
    assert [n for n in range(10) if kept.has(("", f"urn:x:{n}", "k"))] == [7, 8, 9]


def test_nothing_is_kept_where_there_is_no_room() -> None:
    kept = Renderings(0)
    kept.put(("", "urn:x:1", "k"), 1, b"x")
    assert not kept.has(("", "urn:x:1", "k"))


@pytest.fixture
async def entities(mongo_uri: str) -> AsyncIterator[MongoEntities]:
    prefix = f"r{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        client = (await open_database(mongo_uri, stack)).client
        tenants = Tenants(client, prefix)
        committer = Committer(Planner(Sink(), Clock(), "p" * 16, Recording()), Schedule(client, prefix))
        writer = Writer(tenants, committer, group=10, limit=100, in_flight=1)
        stack.push_async_callback(writer.close)
        sweeper = Sweeper(client[prefix]["tasks"], tenants, writer, "p" * 16)
        yield MongoEntities(
            tenants,
            writer,
            sweeper,
            ReadLimits(batch=10, timeout=5, candidates=1000, cache=100_000),
            Advice([], 60, str),
            lambda: "2026-07-01T12:00:00",
        )


def _noon() -> str:
    return "2026-07-01T12:00:00"


def _entity(n: int, value: Json) -> Entity:
    return {"id": f"urn:x:{n}", "type": ["T"], "attrs": {"n": [{"type": "Property", "value": value}]}}


async def _write(entities: MongoEntities, n: int, value: Json) -> None:
    fragment = Fragment(_entity(n, value)["attrs"])
    await entities.change("", f"urn:x:{n}", update.update_attrs(f"urn:x:{n}", fragment))


async def _shown(entities: MongoEntities) -> list[Json]:
    return [orjson.loads(one) for one in (await entities.show_page("", ALL, SHOW)).items]


async def test_what_is_shown_is_never_stale(entities: MongoEntities) -> None:
    """However often it was shown before: after each write the next answer, by id and by query, has it."""
    for n in range(3):
        await entities.change("", f"urn:x:{n}", update.create(_entity(n, 0)))
    for value in range(1, 40):
        n = value % 3
        await _write(entities, n, value)
        assert orjson.loads(await entities.show("", f"urn:x:{n}", SHOW) or b"") == [f"urn:x:{n}", value]
        assert dict(map(tuple, await _shown(entities)))[f"urn:x:{n}"] == value
    assert entities._renderings.is_promising
    await entities.change("", "urn:x:1", update.delete("urn:x:1"))
    assert await entities.show("", "urn:x:1", SHOW) is None
    assert [one for one, _ in await _shown(entities)] == ["urn:x:0", "urn:x:2"]
    await entities.change("", "urn:x:1", update.create(_entity(1, "new")))
    assert ["urn:x:1", "new"] in await _shown(entities)
