"""Stored @contexts on a real MongoDB: whose they are, and what they are found by."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from broker.core import Json
from broker.ports.contexts import CACHED, HOSTED, IMPLICIT, StoredContext
from broker.store.registry.contexts import MongoContexts
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants

ODD: Json = {"@context": {"a.b$": "urn:x", "$odd": {"@id": "urn:y"}}, "": [1, {"%": None}]}
CACHE = StoredContext("c1", CACHED, ODD, 1.0, url="http://ex.org/a", expires=9.5)


@pytest.fixture
async def store(mongo_uri: str) -> AsyncIterator[MongoContexts]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        prefix = f"x{secrets.token_hex(4)}"
        yield MongoContexts(client, prefix, Tenants(client, prefix))


def hosted(name: str, tenant: str, kind: str = HOSTED) -> StoredContext:
    return StoredContext(name, kind, {"@context": {}}, 2.0, tenant)


async def test_what_is_put_is_got_and_stays(store: MongoContexts) -> None:
    assert await store.put(CACHE) == CACHE
    assert await store.put(replace(CACHE, id="c2", document={"@context": {}})) == CACHE
    assert await store.get(CACHE.key) == CACHE


async def test_replacing_is_of_what_is_there(store: MongoContexts) -> None:
    await store.put(CACHE)
    new = replace(CACHE, created=5.0, document={"@context": {}})
    assert await store.replace(CACHE, new)
    assert not await store.replace(CACHE, CACHE)
    assert await store.get(CACHE.key) == new
    assert await store.remove(new)
    assert not await store.remove(new)
    assert not await store.replace(new, CACHE)
    assert await store.get(CACHE.key) is None


@pytest.mark.clause("5.5.10")
async def test_tenants_see_their_own_and_what_is_cached(store: MongoContexts) -> None:
    mine, its, implicit = hosted("h1", "t"), hosted("h2", ""), hosted("h3", "t", IMPLICIT)
    for one in (CACHE, mine, its, implicit):
        await store.put(one)
    assert await store.list("t", None) == [CACHE, mine, implicit]
    assert await store.list("", None) == [CACHE, its]
    assert await store.list("nobody", None) == [CACHE]
    assert await store.list("t", IMPLICIT) == [implicit]
    for tenant in ("t", "", "nobody"):
        for name in ("c1", "http://ex.org/a"):
            assert await store.find(tenant, name) == CACHE
    assert await store.find("t", "h1") == mine
    assert (
        await store.find("t", "h2") is await store.find("", "h1") is await store.find("nobody", "h2") is None
    )
    assert await store.get(("nobody", "h1")) is None


async def test_hits_are_added(store: MongoContexts) -> None:
    mine = hosted("h1", "t")
    for one in (CACHE, mine):
        await store.put(one)
    gone = ("t", "h9")
    await store.add_hits({CACHE.key: (2, 7.0), mine.key: (1, 8.0), gone: (1, 9.0), ("no", "h1"): (1, 9.0)})
    await store.add_hits({CACHE.key: (1, 6.0)})
    assert await store.get(CACHE.key) == replace(CACHE, hits=3, used=7.0)
    assert await store.get(mine.key) == replace(mine, hits=1, used=8.0)
    assert await store.get(gone) is None


async def test_what_was_implicitly_created_is_hidden_not_lost(store: MongoContexts) -> None:
    for tenant in ("t", ""):
        one = hosted("h1", tenant, IMPLICIT)
        await store.put(one)
        await store.add_hits({one.key: (3, 4.0)})
        assert await store.remove(one)
        assert not await store.remove(one)
        assert await store.find(tenant, "h1") is None
        assert await store.list(tenant, None) == []
        assert await store.get(one.key) == one  # a subscription may stand on it
        await store.put(one)
        assert await store.find(tenant, "h1") == one
        await store.remove(one)
