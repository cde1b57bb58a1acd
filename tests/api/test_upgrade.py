"""A broker on a database that the version before wrote: its clients notice nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from tests.api.conftest import Api, Receiver
from tests.conftest import free_port, running
from tests.store.upgrade.make_format1 import ODD, PUBLIC_URL, load

PREFIX = "format1"
TENANTS = ("", "city", ODD)
# What becomes of notifications goes on.
_CHANGING = {"timesSent", "timesFailed", "lastNotification", "lastFailure", "status"}


@pytest.fixture(scope="module")
async def upgraded(mongo_uri: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """The root of the broker, and what the version before answered."""
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        dump = await load(client, PREFIX)
        for suffix in dump["databases"]:  # as if all of it had happened just now
            now = {"$set": {"time": time.time_ns() // 1000}}
            await client[PREFIX + suffix]["outbox"].update_many({}, now)
    port = free_port()
    settings: dict[str, object] = {
        "notification_retry_first": 0.05,
        "notification_retry_cap": 0.2,
        "temporal_page": 10_000,
    }
    settings |= {"mongo_uri": mongo_uri, "database": PREFIX, "public_url": PUBLIC_URL, "workers": 2}
    async with running(port, **settings):
        yield f"http://127.0.0.1:{port}", dump["answers"]


@pytest.mark.parametrize("tenant", TENANTS)
async def test_answers_are_what_they_were(
    upgraded: tuple[str, dict[str, Any]], http: aiohttp.ClientSession, tenant: str
) -> None:
    root, answers = upgraded
    api = Api(http, root, {"NGSILD-Tenant": tenant} if tenant else {})
    assert answers[tenant]
    for path, (status, doc) in answers[tenant].items():
        answer = await api("GET", path)
        assert (path, answer.status) == (path, status)
        assert (path, _lasting(answer.doc)) == (path, _lasting(doc))


def _lasting(doc: Any) -> Any:
    if isinstance(doc, list):
        return [_lasting(one) for one in doc]
    if isinstance(doc, dict):
        return {name: _lasting(value) for name, value in doc.items() if name not in _CHANGING}
    return doc


async def test_what_was_pending_arrives_in_order(
    upgraded: tuple[str, dict[str, Any]], http: aiohttp.ClientSession, receiver: Receiver
) -> None:
    api = Api(http, upgraded[0], {})
    endpoint = {"uri": receiver.root + "/", "accept": "application/json"}
    answer = await api("PATCH", "subscriptions/urn:sub:dead", {"notification": {"endpoint": endpoint}})
    assert answer.status == 204
    rooms: list[Any] = []
    async with asyncio.timeout(20):
        while len(rooms) < 4:
            await asyncio.sleep(0.05)
            rooms = [one.entity for one in receiver.taken if one.entity["id"] == "urn:room:1"]
    assert [_heat(one) for one in rooms] == [20.5, 0, 1, 2]


def _heat(entity: Any) -> Any:
    """The value of the instance without a datasetId."""
    [value] = [one["value"] for one in entity["heat"] if "datasetId" not in one]
    return value
