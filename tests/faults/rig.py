"""A broker under load and those it notifies: what the tests of faults stand on."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
from aiohttp import web
from pymongo import AsyncMongoClient

from broker.store.server.embedded import address
from broker.store.server.external import connect
from tests.conftest import free_port

API = "/ngsi-ld/v1"


class Receiver:
    """Takes notifications; `values` are those of n, by subscription and entity, as they came."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[int]]] = {}
        self.port = free_port()
        self.times: list[float] = []
        self.is_down = False

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    async def take(self, request: web.BaseRequest) -> web.Response:
        """A notification: answered according to the path."""
        body = orjson.loads(await request.read())
        of = self.values.setdefault(body["subscriptionId"], {})
        if request.path == "/hang":
            await asyncio.sleep(60)
        if request.path == "/500" or self.is_down:
            return web.Response(status=500)
        self.times.append(time.monotonic())
        for entity in body["data"]:
            of.setdefault(entity["id"], []).append(entity["n"]["value"])
        return web.Response()

    def of(self, subscription: str, entity: str) -> list[int]:
        """What a subscription was told of an entity, each value once, in the order of their first coming."""
        return list(dict.fromkeys(self.values.get(subscription, {}).get(entity, ())))


@asynccontextmanager
async def receiving(receiver: Receiver | None = None) -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    receiver = receiver or Receiver()
    runner = web.ServerRunner(web.Server(receiver.take), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", receiver.port, backlog=1024).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()


class Client:
    """Requests to one broker; 32 connections at most, or a new one for each request."""

    def __init__(self, port: int, *, fresh: bool = False) -> None:
        connector = aiohttp.TCPConnector(limit=32, force_close=fresh)
        self.http = aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector)
        self.statuses: dict[int, int] = {}
        self.fault: Exception | None = None  # why the last request without an answer had none

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def ask(self, method: str, path: str, doc: Any = None) -> tuple[int, Any]:
        """The status, 0 if there was no answer, and the body."""
        data, headers = None, {}
        if doc is not None:
            data, headers = orjson.dumps(doc), {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(15),
                self.http.request(method, path, data=data, headers=headers) as answer,
            ):
                body = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, OSError) as fault:
            status, body, self.fault = 0, b"", fault
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return status, orjson.loads(body) if body else None

    async def create(self, *names: str) -> None:
        """Entities of type T with n = 0."""
        docs = [{"id": f"urn:x:{name}", "type": "T", "n": {"type": "Property", "value": 0}} for name in names]
        status, body = await self.ask("POST", f"{API}/entityOperations/create", docs)
        assert status == 201, body

    async def put(self, name: str, value: int, attr: str = "n") -> int:
        """Writes a value; the status."""
        fragment = {attr: {"type": "Property", "value": value}}
        return (await self.ask("PATCH", f"{API}/entities/urn:x:{name}/attrs", fragment))[0]

    async def subscribe(self, name: str, uri: str, **members: Any) -> str:
        """A subscription to all entities of type T; its id."""
        doc = {
            "id": f"urn:s:{name}",
            "type": "Subscription",
            "entities": [{"type": "T"}],
            "notification": {"endpoint": {"uri": uri}},
            **members,
        }
        status, body = await self.ask("POST", f"{API}/subscriptions", doc)
        assert status == 201, body
        return f"urn:s:{name}"

    async def current(self, name: str) -> Any:
        """The entity."""
        return await self._read(f"{API}/entities/urn:x:{name}")

    async def _read(self, path: str) -> Any:
        """The body of an answer; asked again if the connection broke: a worker may have been killed."""
        for _ in range(150):  # a worker that cannot start without MongoDB is tried again after a few seconds
            status, body = await self.ask("GET", path)
            if status or isinstance(self.fault, TimeoutError):
                break
            await asyncio.sleep(0.2)
        assert status == 200, (status, body, self.fault)
        return body

    async def history(self, name: str, attr: str = "n", *, by_time: bool = True) -> list[int]:
        """All values that an attribute ever had, in the order of the times at which they were written."""
        path = f"{API}/temporal/entities/urn:x:{name}?attrs={attr}&options=sysAttrs"
        body = await self._read(path)
        instances = body[attr] if isinstance(body[attr], list) else [body[attr]]
        key = "modifiedAt" if by_time else "value"
        return [one["value"] for one in sorted(instances, key=lambda one: one[key])]


class Load:
    """Writes rising values to entities, each by a client of its own, and notes what was acknowledged."""

    def __init__(self, client: Client, names: Iterable[str], *, pause: float = 0.0) -> None:
        self.client, self.pause = client, pause
        self.acknowledged: dict[str, list[int]] = {name: [] for name in names}
        self.tried = dict.fromkeys(self.acknowledged, 0)
        self.times: list[float] = []
        self.faults: list[int] = []
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> "Load":
        """Begins."""
        self._tasks = [asyncio.create_task(self._write(name)) for name in self.acknowledged]
        return self

    async def stop(self) -> None:
        """Ends after the answers to what is on its way."""
        self._ended = True
        await asyncio.gather(*self._tasks)

    @property
    def total(self) -> int:
        """How many writes were acknowledged."""
        return len(self.times)

    async def _write(self, name: str) -> None:
        while not self._ended:
            self.tried[name] += 1
            value = self.tried[name]
            status = await self.client.put(name, value)
            if status == 204:
                self.acknowledged[name].append(value)
                self.times.append(time.monotonic())
                if self.pause:
                    await asyncio.sleep(self.pause)
                continue
            if status not in (0, 503):
                self.faults.append(status)
            await asyncio.sleep(0.02)

    async def check(self, reader: Client, *, by_time: bool = True) -> dict[str, list[int]]:
        """Holds entities and history to what was acknowledged; the values written of each entity.

        A write that was not acknowledged may or may not be there, but never twice. Not `by_time`: clocks are
        wrong, and so the times of history do not tell its order.
        """
        assert not self.faults, self.faults
        written = {}
        for name, values in self.acknowledged.items():
            history = (await reader.history(name, by_time=by_time))[1:]
            assert history == sorted(set(history)), f"{name}: {_wrong(history)}"
            assert set(values) <= set(history), f"{name}: lost {set(values) - set(history)}"
            current = (await reader.current(name))["n"]["value"]
            assert current == (history[-1] if history else 0), f"{name}: entity and history differ"
            written[name] = history
        return written


def _wrong(history: list[int]) -> str:
    """What is out of order, or twice."""
    twice = sorted({one for one in history if history.count(one) > 1})
    late = [(before, after) for before, after in pairwise(history) if before > after]
    return f"twice {twice}, out of order {late}"


async def all_arrive(
    receiver: Receiver, subscription: str, written: dict[str, list[int]], seconds: float, first: int = 1
) -> float:
    """Waits until the receiver was told of all that was written, each entity in order; how long it took."""
    began = time.monotonic()

    def missing() -> dict[str, set[int]]:
        told = receiver.values.get(subscription, {})
        found = {k: set(v) - set(told.get(f"urn:x:{k}", ())) for k, v in written.items()}
        return {k: v for k, v in found.items() if v}

    while missing() and time.monotonic() - began < seconds:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    assert not missing(), f"not told after {seconds} s: {missing()}"
    took = time.monotonic() - began
    for name in written:
        values = [v for v in receiver.of(subscription, f"urn:x:{name}") if v >= first]
        assert values == sorted(values), f"{name}: out of order"
    return took


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def workers(pid: int) -> list[psutil.Process]:
    """The workers of a broker: its other children."""
    return [child for child in psutil.Process(pid).children() if child.name() != "mongod"]


def database_of(data_dir: Path) -> AbstractAsyncContextManager[AsyncMongoClient[dict[str, Any]]]:
    """The MongoDB that a broker has started for itself."""
    uri = address(data_dir)
    assert uri is not None, "it runs"
    return connect(uri)


def mongod(pid: int) -> psutil.Process:
    """The MongoDB server of a broker."""
    return next(child for child in psutil.Process(pid).children() if child.name() == "mongod")


def kill(processes: Iterable[psutil.Process]) -> None:
    """kill -9."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
