"""`python -m tests.bench.growth`: queries as the entities grow from a thousand to a million.

A database is filled with the workload's entities in their stored shape, by the very code that plans a commit:
a million creations over HTTP would take an hour. Then a broker with one worker
answers from as many connections as the other bench, and a bare handler beside it is the yardstick H.
"""

import argparse
import asyncio
import itertools
import json
import random
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from broker.clock import Clock
from broker.contexts.compiler import compile_context
from broker.core.change import Change
from broker.core.entity import parse, update
from broker.core.temporal.recording import Recording
from broker.ports.changes import Entry, Triggered
from broker.store.writes.plan import Planner
from broker.store.writes.queue import RequestOutcomes, Write
from broker.store.writes.statements import document
from tests.bench import workload
from tests.bench.client import Load, call, head, percentile, run_load
from tests.bench.history import Place, place
from tests.bench.processes import free_port, serving
from tests.bench.scenarios import ENTITIES, WrongAnswer, expect

PAGE = 20
FAR = 5000  # the page that is far from the first
TOGETHER = 2000
CENTRE = "%5B12.3386,44.9553%5D"
CORE = compile_context(None, {})
FEW = {"POST query, ordered": 4}  # connections, for what sorts all that it finds

Check = Callable[[bytes], None]


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--entities", type=int, nargs="*", default=[1000, 100_000], help="(1000 100000)")
    parser.add_argument("--connections", type=int, default=64, help="one request in flight on each (64)")
    parser.add_argument("--seconds", type=float, default=3.0, help="per kind of query (3)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Row:
    """What one kind of query cost at one size; `ratio` is to the bare handler's requests/s."""

    entities: int
    name: str
    load: Load
    ratio: float
    broker: float
    mongod: float

    def figures(self) -> dict[str, Any]:
        """The row as JSON; times in seconds, CPU in seconds per request."""
        ordered = sorted(self.load.latencies)
        times = {f"p{one}": percentile(ordered, one) for one in (50, 95, 99)}
        cpu = {"broker_cpu": self.broker, "mongod_cpu": self.mongod}
        return {
            "entities": self.entities,
            "name": self.name,
            "rate": self.load.rate,
            "ratio": self.ratio,
            **times,
            **cpu,
        }


class Nobody:
    """A sink to whom nothing is due."""

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """Nothing to learn."""

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """Nothing."""
        return []

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """There is none."""


async def fill(at: Place, numbers: Iterable[int]) -> None:
    """Stores the workload's entities of these numbers."""
    clock, rest = Clock(), iter(numbers)
    while part := list(itertools.islice(rest, TOGETHER)):
        await at.tenant.entities.insert_many(_documents(part, clock), ordered=False)


def _documents(numbers: list[int], clock: Clock) -> list[dict[str, Any]]:
    """What a commit of these creations would insert."""
    entities = [parse.entity(orjson.loads(workload.entity(number)), CORE) for number in numbers]
    answer = RequestOutcomes(asyncio.get_running_loop().create_future(), len(entities))
    writes = [Write("", one["id"], update.create(one), 0.0, answer, n) for n, one in enumerate(entities)]
    drafts = Planner(Nobody(), clock, secrets.token_hex(8), Recording()).plan("", writes, {}).drafts
    expect(len(drafts) == len(numbers), "not every entity was to be created")
    return [document(draft) for draft in drafts.values()]


class Growth:
    """One database that grows, and what is asked of it."""

    def __init__(self, at: Place, bare: int, chosen: argparse.Namespace, console: Console) -> None:
        self._at, self._bare, self._chosen, self._console = at, bare, chosen, console
        self._count = 0

    async def run(self) -> list[Row]:
        """All kinds of query at all sizes."""
        rows: list[Row] = []
        for size in sorted(self._chosen.entities):
            await self._grow(size)
            for name, source in (*self._queries(), *await self._pages()):
                try:
                    rows.append(await self._measure(name, source))
                except WrongAnswer as error:
                    self._console.print(f"[red]{error}", highlight=False)
        return rows

    async def _grow(self, size: int) -> None:
        began = time.monotonic()
        await fill(self._at, range(self._count, size))
        self._count = size
        self._console.print(f"… {size:,} entities, {time.monotonic() - began:.0f} s", style="dim")

    def _queries(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        kinds = itertools.cycle([workload.type_of(n) for n in range(workload.TYPES)])

        def get(rest: str) -> Callable[[], bytes]:
            return lambda: head("GET", f"{ENTITIES}?limit={PAGE}&type={next(kinds)}{rest}")

        def by_property() -> bytes:
            least = random.randint(5000, 6000) / 100
            return get(f"&q={workload.MEASURED}%3E{least}%3Boperator")()

        def by_relationship() -> bytes:
            device = workload.device(random.randrange(self._count))
            return head("GET", f"{ENTITIES}?limit={PAGE}&q=refDevice==%22{device}%22")

        near = f"&georel=near;maxDistance==2000&geometry=Point&coordinates={CENTRE}"
        yield "type and property (P>R;S)", by_property
        yield "relationship", by_relationship
        yield "near (2 km), of a type", get(near)
        yield "count of a type", lambda: head("GET", f"{ENTITIES}?type={next(kinds)}&limit=0&count=true")
        yield "types", lambda: head("GET", "/ngsi-ld/v1/types")
        yield "POST query, ordered", lambda: _ordered(next(kinds))

    async def _pages(self) -> list[tuple[str, Callable[[], bytes]]]:
        """The first page of everything, and the one that is FAR or the last, where `next` links lead."""
        page = min(FAR, self._count // PAGE)
        first = f"{ENTITIES}?local=true&limit={PAGE}"
        far = await self._follow((page - 1) * PAGE)
        return [("page 1", lambda: head("GET", first)), (f"page {page:,}", lambda: head("GET", far))]

    async def _follow(self, offset: int) -> str:
        """The path of the page behind so many entities."""
        step = min(1000, offset)
        path = f"{ENTITIES}?local=true&limit={step}&options=keyValues"
        for _ in range(offset // step):
            answer = await call(self._at.port, head("GET", path))
            expect(answer.status == 200, f"{path}: {answer.body[:200]!r}")
            path = _next(answer.head.decode())
        return path.replace(f"limit={step}", f"limit={PAGE}").replace("&options=keyValues", "")

    async def _measure(self, name: str, source: Callable[[], bytes]) -> Row:
        seconds, at = self._chosen.seconds, self._at
        connections = min(self._chosen.connections, FEW.get(name, self._chosen.connections))
        await run_load(at.port, source, connections=connections, seconds=seconds / 5)
        everybody = self._chosen.connections
        yardstick = await run_load(self._bare, lambda: head("GET", "/"), connections=everybody, seconds=1.0)
        before, mongod = at.broker.usage(), at.mongod.usage()
        load = await run_load(at.port, source, connections=connections, seconds=seconds)
        used, worked = at.broker.usage().since(before), at.mongod.usage().since(mongod)
        expect(not load.errors and load.sample is not None, f"{name}: {load.failure}")
        cpu = used.broker_cpu / load.requests, worked.mongod_cpu / load.requests
        return Row(self._count, name, load, load.rate / yardstick.rate, *cpu)


def _ordered(kind: str) -> bytes:
    ordering = {"orderBy": [f"{workload.MEASURED};desc"]}
    body = json.dumps({"type": "Query", "entities": [{"type": kind}], "ordering": ordering}).encode()
    return head("POST", f"/ngsi-ld/v1/entityOperations/query?limit={PAGE}", length=len(body)) + body


def _next(answer: str) -> str:
    """The path in the link to the next page."""
    link = next(
        line for line in answer.split("\r\n") if line.lower().startswith("link:") and 'rel="next"' in line
    )
    return next(part for part in link[5:].split(",") if 'rel="next"' in part).split("<")[1].split(">")[0]


@asynccontextmanager
async def _yardstick() -> AsyncIterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.bare", str(port)]
        async with serving(command, port, "/", Path(folder) / "bare.log"):
            yield port


async def run(chosen: argparse.Namespace, console: Console) -> list[Row]:
    """Starts what is needed, measures, stops it."""
    async with AsyncExitStack() as stack:
        at = await stack.enter_async_context(place("--indexes", "refDevice"))
        bare = await stack.enter_async_context(_yardstick())
        return await Growth(at, bare, chosen, console).run()


def table(rows: list[Row]) -> Table:
    """The rows to look at."""
    names = ("entities", "query", "req/s", "of H", "p50 ms", "p95 ms", "broker CPU ms", "mongod CPU ms")
    shown = Table(
        *names, title=f"a page of {PAGE} unless said; the ordered query by {min(FEW.values())} clients"
    )
    for row in rows:
        one = row.figures()
        times = [one[name] for name in ("p50", "p95", "broker_cpu", "mongod_cpu")]
        rate = f"{row.load.rate:,.0f}", f"{row.ratio:.3f}"
        shown.add_row(f"{row.entities:,}", row.name, *rate, *(f"{1000 * value:.2f}" for value in times))
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Runs it, prints what it found, and writes it if asked to."""
    chosen, console = options(arguments), Console(width=None if sys.stdout.isatty() else 160)
    rows = uvloop.run(run(chosen, console))
    console.print(table(rows))
    if chosen.json:
        chosen.json.write_bytes(orjson.dumps([row.figures() for row in rows], option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
