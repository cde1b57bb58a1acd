"""History that is too old is removed, single and packed; the rest is not."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from broker.core import instant
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.core.temporal.retention import parse
from broker.store.history.eraser import Eraser
from broker.store.history.evolution_store import MongoTemporal
from broker.store.history.packer import Packer, Packing
from broker.store.wire import codec
from broker.store.wire.tenants import Tenants
from tests.store.histories import Model, Store, Written

HOUR = 3_600_000_000
OLD, NEW = "https://ex.org/old", "https://ex.org/new"


@pytest.fixture
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        await client.drop_database("erasing")
        tenants = Tenants(client, "erasing")
        yield Store(await tenants.obtain(""), MongoTemporal(tenants, page=1000, timeout=30), tenants)


@pytest.mark.parametrize("packed", [False, True])
async def test_what_is_too_old_goes(store: Store, packed: bool) -> None:
    now = time.time_ns() // 1000
    model = Model("https://ex.org/T", {"urn:x:1": [OLD, NEW]})
    for name in (OLD, NEW):
        for hours in range(100):
            at = now - hours * HOUR - HOUR // 2
            one = {"type": "Property", "value": hours, "observedAt": instant.of_micros(at)}
            model.written.append(Written("urn:x:1", name, one, at, hours))
    await store.write(model)
    database = store.tenant.history.database
    if packed:
        packer = Packer(database["tasks"], store.tenants, "p" * 16, Packing(0, least=1, size=10))
        async with database.client.start_session() as session:
            for name in (OLD, NEW):
                await packer.step(store.tenant, session, ("urn:x:1", codec.key(name)), now)
        assert await store.tenant.packed.count_documents({}) == 20
    retention = parse(["*=P1Y", f"{OLD}=PT50H"], str)
    eraser = Eraser(database["tasks"], store.tenants, "p" * 16, retention)
    assert await eraser.erase_tenant("") == (5 if packed else 50)
    assert await eraser.erase_tenant("") == 0
    found = await store.temporal.evolution("", "urn:x:1", TemporalQuery(Query()))
    assert found is not None
    assert sorted(one["value"] for one in found.attrs[OLD]) == list(range(50))
    assert sorted(one["value"] for one in found.attrs[NEW]) == list(range(100))
