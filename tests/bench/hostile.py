"""`python -m tests.bench.hostile`: what queries that are meant to hurt do to the others.

A broker with one worker and a hundred thousand entities serves devices that retrieve and update. Beside them
one client sends the worst that it can think of, again and again. Each of its queries must end within the time
limit, in an answer or in an error that is the client's; told are how long the slowest took, and by how much
the others' p99 grew.
"""

import argparse
import asyncio
import itertools
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import workload
from tests.bench.client import Load, head, percentile, run_load
from tests.bench.growth import fill
from tests.bench.history import Place, place
from tests.bench.scenarios import ENTITIES, expect

QUERY = "/ngsi-ld/v1/entityOperations/query?limit=20&local=true"
TIME_LIMIT = 10.0  # the broker's own, by default
SLACK = 2.0  # seconds that an answer may take beyond it

Source = Callable[[], bytes]


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.bench.hostile", description=__doc__)
    parser.add_argument("--entities", type=int, default=100_000, help="in the broker (100000)")
    parser.add_argument("--connections", type=int, default=32, help="of the devices (32)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each kind of query (5)")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Row:
    """What a kind of query got for an answer, and what it did to the devices."""

    name: str
    load: Load
    statuses: Counter[int]
    slowest: float


def posted(**members: object) -> bytes:
    """A query in a body."""
    body = json.dumps({"type": "Query", **members}).encode()
    return head("POST", QUERY, length=len(body)) + body


def got(rest: str) -> bytes:
    """A query in the path."""
    return head("GET", f"{ENTITIES}?{rest}")


def circle(positions: int) -> list[list[float]]:
    """A ring around the city."""
    turns = [2 * math.pi * n / positions for n in range(positions)]
    ring = [[12.35 + math.cos(turn) / 10, 44.9 + math.sin(turn) / 10] for turn in turns]
    return [*ring, ring[0]]


def star(points: int) -> list[list[float]]:
    """A ring that goes in and out."""
    return [
        [12.35 + (x - 12.35) * (1 if n % 2 else 0.3), 44.9 + (y - 44.9) * (1 if n % 2 else 0.3)]
        for n, (x, y) in enumerate(circle(points)[:-1])
    ]


def area(ring: list[list[float]], relation: str = "within") -> dict[str, object]:
    """A geoquery by a polygon."""
    return {
        "georel": relation,
        "geometry": "Polygon",
        "coordinates": [ring if ring[0] == ring[-1] else [*ring, ring[0]]],
    }


def hostile() -> Iterator[tuple[str, bytes]]:
    """The worst that we could think of."""
    everything = [{"type": "*"}]
    yield "parentheses, 50,000 deep", posted(entities=everything, q="(" * 50_000 + "a" + ")" * 50_000)
    yield "parentheses, 100 deep", posted(entities=everything, q="(" * 100 + "a==1" + ")" * 100)
    yield "a list of 100,000", posted(entities=everything, q="a==" + ",".join(map(str, range(100_000))))
    yield "a list of 1,000", posted(entities=everything, q="temperature==" + ",".join(map(str, range(1000))))
    yield "1,000 alternatives", posted(entities=everything, q="|".join(f"a{n}>{n}" for n in range(1000)))
    yield "100 alternatives", posted(entities=everything, q="|".join(f"temperature<{-n}" for n in range(100)))
    yield "a pattern", posted(entities=everything, q='description~="(.*a)*(.*b)*(.*c)*x{900}$"')
    yield "a pattern that explodes", posted(entities=everything, q='description~="(([a-z ]+)+)+[0-9]Z$"')
    yield "idPattern", got("idPattern=((.*)*)*urn.*x$&local=true")
    yield "no index, a full scan", got("q=temperature<0&local=true&count=true")
    yield "an ordered full scan", got("local=true&orderBy=temperature&collation=de")
    yield "100,000 positions", posted(entities=everything, geoQ=area(circle(100_000)))
    yield "10,000 positions", posted(entities=everything, geoQ=area(circle(9_999)))
    yield "a star of 9,000", posted(entities=everything, geoQ=area(star(9_000), "intersects"))
    yield "a star, disjoint", posted(entities=everything, geoQ=area(star(2_000), "disjoint"))
    yield "a huge offset", got("local=true&limit=1&offset=2147483647")
    yield "the last page, by offset", got("local=true&limit=1000&offset=99000")
    yield "1,000 full entities", got("local=true&limit=1000")
    yield "10,000 types", posted(entities=[{"type": "|".join(f"T{n}" for n in range(10_000))}])
    yield "1,000 selectors", posted(entities=[{"type": f"T{n}", "idPattern": f".*{n}$"} for n in range(1000)])
    yield "1,000 scopes", posted(entities=everything, scopeQ="|".join(f"/a{n}/#" for n in range(1000)))


def devices(entities: int) -> Source:
    """Retrievals and partial updates, in turn."""
    turns = itertools.cycle((True, False))

    def request() -> bytes:
        path = f"{ENTITIES}/{workload.entity_id(random.randrange(entities))}"
        if next(turns):
            return head("GET", path)
        body = workload.partial(workload.measured())
        return head("PATCH", f"{path}/attrs/{workload.MEASURED}", length=len(body)) + body

    return request


class Trial:
    """One broker, its devices, and whoever disturbs them."""

    def __init__(self, at: Place, chosen: argparse.Namespace) -> None:
        self._at, self._chosen = at, chosen
        self._source = devices(chosen.entities)

    async def quiet(self) -> Load:
        """The devices alone."""
        return await self._devices()

    async def disturbed(self, name: str, query: bytes) -> Row:
        """The devices beside one kind of query; it has a last chance to end."""
        attack = asyncio.create_task(
            run_load(self._at.port, lambda: query, connections=1, seconds=self._chosen.seconds)
        )
        load, attacks = await self._devices(), await attack
        slowest = max(attacks.latencies, default=math.inf)
        bad = {status for status in attacks.statuses if status >= 500}
        expect(not bad and not attacks.lost, f"{name}: {dict(attacks.statuses)} {attacks.failure}")
        expect(slowest < TIME_LIMIT + SLACK, f"{name}: took {slowest:.1f} s")
        return Row(name, load, attacks.statuses, slowest)

    async def _devices(self) -> Load:
        load = await run_load(
            self._at.port, self._source, connections=self._chosen.connections, seconds=self._chosen.seconds
        )
        expect(not load.errors, f"the devices: {load.failure}")
        return load


async def run(chosen: argparse.Namespace, console: Console) -> tuple[list[Load], list[Row]]:
    """The devices alone, before and after, and beside each kind of query."""
    async with place() as at:
        await fill(at, range(chosen.entities))
        console.print(f"… {chosen.entities:,} entities", style="dim")
        trial = Trial(at, chosen)
        await trial.quiet()
        quiet, rows = [await trial.quiet()], []
        for name, query in hostile():
            console.print(f"… {name}", style="dim")
            rows.append(await trial.disturbed(name, query))
        return [*quiet, await trial.quiet()], rows


def table(quiet: list[Load], rows: list[Row]) -> Table:
    """The rows to look at."""
    usual = [percentile(sorted(load.latencies), 99) for load in quiet]
    title = f"devices alone: p99 {' and '.join(f'{1000 * one:.1f}' for one in usual)} ms"
    shown = Table("query", "answers", "slowest ms", "devices' p99 ms", "times", "devices' req/s", title=title)
    for row in rows:
        p99 = percentile(sorted(row.load.latencies), 99)
        told = ", ".join(f"{number} x {status}" for status, number in sorted(row.statuses.items()))
        times = f"{1000 * row.slowest:,.0f}", f"{1000 * p99:.1f}", f"{p99 / max(usual):.1f}"
        shown.add_row(row.name, told, *times, f"{row.load.rate:,.0f}")
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints what it found."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table(*uvloop.run(run(options(arguments), console))))


if __name__ == "__main__":
    main()
