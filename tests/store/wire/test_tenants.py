"""Tenants: one database each, whatever they are called and whoever makes them first."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient

from broker.core.errors import NonexistentTenant
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants, database_name

PREFIX = "p" * 20


@pytest.fixture
async def client(mongo_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    async with AsyncExitStack() as stack:
        yield (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client


def prefix() -> str:
    return f"t{secrets.token_hex(4)}"


def test_the_default_tenant_has_the_prefix_for_its_name() -> None:
    assert database_name("eridanus", "") == "eridanus"
    assert database_name("eridanus", "city_1") == "eridanus-city_1"


names = st.text(st.sampled_from("abAB01_.:-~"), min_size=1, max_size=64)


@given(names, names)
def test_different_tenants_have_different_databases_whatever_their_case(one: str, other: str) -> None:
    """MongoDB refuses two databases whose names differ in case alone, long ones, and dots."""
    mine, its = database_name(PREFIX, one), database_name(PREFIX, other)
    assert (mine.lower() == its.lower()) == (one == other)
    assert len(mine.encode()) < 64
    assert not set(mine) & set('/\\. "$*<>:|?')


@pytest.mark.clause("4.14")
async def test_an_unknown_tenant_is_not_made_by_asking(client: AsyncMongoClient[dict[str, Any]]) -> None:
    tenants = Tenants(client, prefix())
    with pytest.raises(NonexistentTenant):
        await tenants.get("nobody")
    assert await tenants.names() == [""]
    await tenants.obtain("nobody")
    assert (await tenants.get("nobody")).name == "nobody"
    assert sorted(await tenants.names()) == ["", "nobody"]


async def test_what_one_process_made_another_one_finds(client: AsyncMongoClient[dict[str, Any]]) -> None:
    name = prefix()
    one, other = Tenants(client, name), Tenants(client, name)
    made = await one.obtain("City.A:1-b")
    await made.entities.insert_one({"_id": "urn:x:1"})
    found = await other.get("City.A:1-b")
    assert await found.entities.find_one({"_id": "urn:x:1"}) is not None
    with pytest.raises(NonexistentTenant):
        await other.get("city.a:1-b")
    lower = await other.obtain("city.a:1-b")
    assert await lower.entities.find_one({"_id": "urn:x:1"}) is None


async def test_many_processes_make_the_same_tenants_at_once(client: AsyncMongoClient[dict[str, Any]]) -> None:
    name = prefix()
    processes = [Tenants(client, name) for _ in range(4)]
    async with asyncio.timeout(20):
        await asyncio.gather(*(one.obtain(tenant) for one in processes for tenant in ("", "a", "B")))
    for tenant in ("", "a", "B"):
        handle = await processes[0].get(tenant)
        assert await handle.entities.find_one({"_id": "epoch"}) == {"_id": "epoch", "n": 0}
        options = await handle.history.options()
        assert options["clusteredIndex"]["unique"]
