"""`python -m tests.bench.history`: reads of the past, as it grows.

A database is filled with histories in their stored shape, since ten million partial updates would take an
hour: series of instances a minute apart. Then a broker with one worker answers, from one connection: the last
100 instances, a day's window, and aggregates over periods of an hour. What an answer holds is checked. With
--packed all is measured again when everything is packed; how many bytes an instance takes is told for both.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from pymongo import AsyncMongoClient
from rich.console import Console
from rich.table import Table

from broker.clock import Stamp
from broker.core import instant
from broker.store.history import records
from broker.store.history.packer import Packer, Packing
from broker.store.server.embedded import EmbeddedMongo
from broker.store.wire.tenants import Collection, Tenant, Tenants
from tests.bench.client import LOOPBACK, Load, head, percentile, run_load
from tests.bench.processes import Family, free_port, serving
from tests.bench.scenarios import expect

BEGIN = instant.micros("2026-01-01T00:00:00")
MINUTE = 60 * 1_000_000
DAY = 1440  # instances
LENGTH = 5000  # instances of one attribute of one entity
SERIES = 5
KIND = "https://uri.etsi.org/ngsi-ld/default-context/Meter"
PAGE = 2000
TEMPORAL = "/ngsi-ld/v1/temporal/entities"
TOGETHER = 10_000


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.bench.history", description=__doc__)
    parser.add_argument("--instances", type=int, nargs="*", default=[10_000], help="in the database (10000)")
    parser.add_argument(
        "--points", type=int, nargs="*", default=[1000], help="per series to aggregate (1000)"
    )
    parser.add_argument("--packed", action="store_true", help="measure what is packed, too")
    parser.add_argument("--seconds", type=float, default=3.0, help="per scenario (3)")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Place:
    """Where the history is, and who answers."""

    tenants: Tenants
    tenant: Tenant
    port: int
    broker: Family
    mongod: Family


@asynccontextmanager
async def place(*settings: str) -> AsyncIterator[Place]:
    """An empty database and a broker over it, with these settings of its command line."""
    with tempfile.TemporaryDirectory() as folder:
        mongo = EmbeddedMongo(Path(folder) / "data")
        port, log = free_port(), Path(folder) / "broker.log"
        uri = await mongo.start()
        serve = (sys.executable, "-m", "broker", "serve", "--host", LOOPBACK, "--port", str(port))
        base = ("--mongo-uri", uri, "--database", "bench", "--temporal-page", str(PAGE))
        try:
            async with (
                AsyncMongoClient[dict[str, Any]](uri) as client,
                serving((*serve, *base, *settings), port, "/health/ready", log) as pid,
            ):
                tenants = Tenants(client, "bench")
                yield Place(tenants, await tenants.obtain(""), port, Family(pid), Family(os.getpid()))
        finally:
            await mongo.stop()


async def fill(at: Place, entity: str, attributes: int, length: int) -> None:
    """Gives an entity, which is not there any more, a past of single instances, marked for the packer."""
    names = [f"~a{n}" for n in range(attributes)]
    documents = _documents(entity, names, length)
    while part := list(itertools.islice(documents, TOGETHER)):
        await at.tenant.history.insert_many(part, ordered=False)
    facts = {"type": [KIND], "createdAt": instant.of_micros(BEGIN), "attrs": names}
    known = {"_id": entity, "rev": BEGIN, "past": facts, "pk": 1, "pn": 1}
    await at.tenant.entities.insert_one(known)


def _documents(entity: str, names: list[str], length: int) -> Iterator[dict[str, Any]]:
    for name in names:
        for n in range(length):
            seen = BEGIN + n * MINUTE
            one = {"type": "Property", "value": n % 997 / 10, "observedAt": instant.of_micros(seen)[:-7]}
            yield records.record(entity, name, one, Stamp(seen + 300_000, seen + 300_000), 0)


@dataclass(frozen=True)
class Row:
    """What one kind of read cost."""

    name: str
    load: Load
    broker: float
    mongod: float


async def measure(at: Place, name: str, paths: list[str], seconds: float, instances: int) -> Row:
    """One kind of read, in turn of each path; every answer has so many items in its first series."""
    requests = itertools.cycle([head("GET", path) for path in paths])
    await run_load(at.port, lambda: next(requests), connections=1, seconds=seconds / 5)
    before, mongod = at.broker.usage(), at.mongod.usage()
    load = await run_load(at.port, lambda: next(requests), connections=1, seconds=seconds)
    used, worked = at.broker.usage().since(before), at.mongod.usage().since(mongod)
    expect(not load.errors and load.sample is not None, f"{name}: {load.failure}")
    assert load.sample is not None
    body = json.loads(load.sample[1].body)
    found = body["a0"] if isinstance(body["a0"], list) else body["a0"].get("avg") or body["a0"]["values"]
    expect(len(found) == instances, f"{name}: {len(found)} items, not {instances}")
    return Row(name, load, used.broker_cpu / load.requests, worked.mongod_cpu / load.requests)


async def run(chosen: argparse.Namespace, console: Console) -> list[Row]:
    """All that was asked for, in one database that grows."""
    rows: list[Row] = []
    async with place("--pack-after", "none") as at:
        count = 0
        for instances in sorted(chosen.instances):
            started = time.monotonic()
            for number in range(count, -(-instances // LENGTH)):
                await fill(at, f"urn:x:{number}", 1, LENGTH)
                count = number + 1
            console.print(f"… {count * LENGTH:,} instances, {time.monotonic() - started:.0f} s", style="dim")
            rows += await _windows(at, chosen.seconds, count)
            if chosen.packed:
                await _pack(at, console)
                rows += await _windows(at, chosen.seconds, count, ", packed")
        for points in sorted(chosen.points):
            await fill(at, f"urn:y:{points}", SERIES, points)
            rows.append(await _aggregates(at, chosen.seconds, points))
        if chosen.packed:
            await _pack(at, console)
            rows += [await _aggregates(at, chosen.seconds, n, ", packed") for n in sorted(chosen.points)]
    return rows


async def _pack(at: Place, console: Console) -> None:
    """Packs all there is, and tells what it took before and after."""
    (count, before), began = await _size(at.tenant.history), time.monotonic()
    database = at.tenant.history.database
    packer = Packer(database["tasks"], at.tenants, "b" * 16, Packing(0, least=1, rest=0, lease=3600))
    async with packer.session:
        await packer.pack_tenant("")
    took = time.monotonic() - began
    (left, _), (buckets, after) = await _size(at.tenant.history), await _size(at.tenant.packed)
    console.print(
        f"… {count:,} single instances of {before / max(count, 1):.1f} bytes packed in {took:.0f} s, "
        f"but for {left}; all {buckets:,} buckets take {after / 1e6:.1f} MB",
        style="dim",
    )


async def _size(collection: Collection) -> tuple[int, int]:
    """How many documents there are, and the bytes that they and their indexes take on disk."""
    await collection.database.client.admin.command("fsync")
    stats = await collection.database.command("collStats", collection.name)
    return stats["count"], stats["storageSize"] + stats["totalIndexSize"]


async def _windows(at: Place, seconds: float, count: int, how: str = "") -> list[Row]:
    some = [n * 7919 % count for n in range(min(count, 500))]
    day = instant.of_micros(BEGIN + DAY * MINUTE)[:-7], instant.of_micros(BEGIN + 2 * DAY * MINUTE)[:-7]
    window = f"timerel=between&timeAt={day[0]}Z&endTimeAt={day[1]}Z"
    size = f"{count * LENGTH:,}{how}"
    last = [f"{TEMPORAL}/urn:x:{n}?lastN=100" for n in some]
    days = [f"{TEMPORAL}/urn:x:{n}?{window}&format=temporalValues" for n in some]
    return [
        await measure(at, f"last 100, of {size}", last, seconds, 100),
        await measure(at, f"a day ({DAY}), of {size}", days, seconds, DAY),
    ]


async def _aggregates(at: Place, seconds: float, points: int, how: str = "") -> Row:
    asked = "format=aggregatedValues&aggrMethods=avg,max,totalCount&aggrPeriodDuration=PT1H"
    name = f"avg, max, totalCount per hour, {SERIES} x {points:,}{how}"
    return await measure(at, name, [f"{TEMPORAL}/urn:y:{points}?{asked}"], seconds, -(-points // 60))


def table(rows: list[Row]) -> Table:
    """The rows to look at."""
    shown = Table("read", "p50 ms", "p99 ms", "broker CPU ms", "mongod CPU ms", "answers", title="history")
    for row in rows:
        ordered = sorted(row.load.latencies)
        times = [percentile(ordered, 50), percentile(ordered, 99), row.broker, row.mongod]
        shown.add_row(row.name, *(f"{1000 * one:.2f}" for one in times), str(row.load.requests))
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints what it found."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(uvloop.run(run(options(arguments), console))))


if __name__ == "__main__":
    main()
