"""Each command fails in turn, in each of several ways, under load: nothing acknowledged or due is lost.

MongoDB fails them itself (failCommand), the broker's alone. `COMMANDS=5` in the environment is for how many
seconds it does so with each.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import API, Client, Load, all_arrive, receiving, workers
from tests.faults.servers import AnyClient, members

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("COMMANDS", "0.4"))
COMMANDS = (
    *("find", "aggregate", "getMore", "count", "distinct", "listCollections", "hello"),
    *("insert", "update", "delete", "findAndModify", "commitTransaction", "abortTransaction"),
)
FAULTS: tuple[dict[str, Any], ...] = (
    {"errorCode": 14031},  # OutOfDiskSpace
    {"errorCode": 112},  # WriteConflict
    {"errorCode": 91},  # ShutdownInProgress
    {"closeConnection": True},
)
# A server that says it shuts down, and does not, is asked anew at once only by who polls.
POLLING = "&serverMonitoringMode=poll&heartbeatFrequencyMS=500"
NAMES = [f"e{n}" for n in range(24)]
FINE = {200, 201, 204, 207, 404, 409, 503}
SETTINGS = {
    "process_lease": 3,
    "notification_retry_first": 0.05,
    "notification_retry_cap": 0.5,
    "log_level": "error",
}


class Visitor:
    """One request after the other of many kinds; `answers` counts their statuses."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answers: Counter[tuple[str, str, int]] = Counter()

    async def stay(self) -> None:
        """Until it is cancelled."""
        number = 0
        while True:
            number += 1
            for method, path, doc in _requests(number):
                status, body = await self._client.ask(method, path, doc)
                self.answers[method, path.partition(str(number))[0], status] += 1
                if status == 207:
                    for one in body["errors"]:
                        self.answers["batch", path, one["error"]["status"]] += 1
                await asyncio.sleep(0.01)

    @property
    def faults(self) -> dict[tuple[str, str, int], int]:
        """The answers that should not be."""
        return {one: count for one, count in self.answers.items() if one[2] not in FINE}


def _requests(number: int) -> list[tuple[str, str, Any]]:
    of = {"type": "V", "n": {"type": "Property", "value": number}}
    subscription = {
        "id": f"urn:s:v{number}",
        "type": "Subscription",
        "entities": [{"type": "V"}],
        "notification": {"endpoint": {"uri": "http://127.0.0.1:9/"}},
    }
    past = {"type": "V", "n": [{"type": "Property", "value": 1, "observedAt": "2020-01-01T00:00:00Z"}]}
    window = "timerel=after&timeAt=2020-01-01T00:00:00Z"
    return [
        ("POST", f"{API}/subscriptions", subscription),
        ("POST", f"{API}/entities", {"id": f"urn:v:{number}", **of}),
        ("POST", f"{API}/entityOperations/upsert", [{"id": f"urn:v:b{n}", **of} for n in range(8)]),
        ("GET", f"{API}/entities?type=T&count=true&limit=5", None),
        ("GET", f"{API}/entities/urn:x:e1", None),
        ("GET", f"{API}/types", None),
        ("GET", f"{API}/temporal/entities?type=T&{window}&lastN=3&limit=5", None),
        ("POST", f"{API}/temporal/entities", {"id": f"urn:v:{number}", **past}),
        ("PATCH", f"{API}/subscriptions/urn:s:v{number}", {"isActive": False}),
        ("GET", f"{API}/subscriptions?limit=5", None),
        ("DELETE", f"{API}/subscriptions/urn:s:v{number}", None),
        ("DELETE", f"{API}/temporal/entities/urn:v:{number}", None),
    ]


@asynccontextmanager
async def failing(mongo: AnyClient, mode: Any, data: dict[str, Any]) -> AsyncIterator[None]:
    """A command of the broker's workers fails for as long as this lasts."""
    point = {"configureFailPoint": "failCommand", "mode": mode, "data": {**data, "appName": "eridanus"}}
    await mongo.admin.command(point)
    try:
        yield
    finally:
        await mongo.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


async def test_each_command_fails(tmp_path: Path) -> None:
    port = free_port()
    async with (
        members(tmp_path, 1, ("--setParameter", "enableTestCommands=1")) as servers,
        receiving() as receiver,
        running(port, mongo_uri=servers.uri + POLLING, workers=2, **SETTINGS) as process,
        Client(port) as client,
        Client(port, fresh=True) as other,
        AnyClient(servers.uri) as mongo,
    ):
        await client.create(*NAMES)
        subscription = await client.subscribe("a", receiver.uri)
        throttled = await client.subscribe("t", receiver.uri, throttling=1)
        before = {one.pid for one in workers(process.pid)}
        load, visitor = Load(client, NAMES, pause=0.02).start(), Visitor(other)
        visit = asyncio.create_task(visitor.stay())
        longest = 0.0
        for command in COMMANDS:
            for fault in FAULTS:
                for mode in ("alwaysOn", {"activationProbability": 0.5}):
                    async with failing(mongo, mode, {"failCommands": [command], **fault}):
                        await asyncio.sleep(SECONDS / 2)
                longest = max(longest, await _goes_on(load))
                assert not load.faults, (command, fault, Counter(load.faults))
                assert not visitor.faults, (command, fault, visitor.faults)
        visit.cancel()
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 30)
        last = {name: values[-1:] for name, values in written.items()}
        await all_arrive(receiver, throttled, last, 10)
        assert (await client.ask("GET", "/health/ready")) == (200, {"status": "ready"})
        assert {one.pid for one in workers(process.pid)} == before, "a worker ended"
    print(f"each command failed: {load.total} writes; it went on within {longest:.1f} s each time;")
    print(f"  nothing lost; all told {took:.1f} s after the load")


async def _goes_on(load: Load) -> float:
    """Waits until some are written again; how long that took."""
    began, before = time.monotonic(), load.total
    async with asyncio.timeout(20):
        while load.total < before + 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return time.monotonic() - began
