"""`python -m tests.bench.federation`: what context sources cost, and what those that misbehave do to others.

Two brokers with a database each. All loads run again and again in turn, and each row is compared with the
same load with nothing registered in the same run. The last rows are of the clients of entities that no source
has, while eight others retrieve from a source that misbehaves, twice a second each.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import workload
from tests.bench.client import LOOPBACK, Load, call, head, percentile, run_load
from tests.bench.history import Place, place
from tests.bench.scenarios import ENTITIES, expect
from tests.federation.rig import Behaviour, answering, dripping, hanging, peer, resetting, response

REGISTRATIONS = "/ngsi-ld/v1/csourceRegistrations"
NOTHING, MANY, SOURCE, BAD = "nothing", "many", "source", "bad"  # tenants
PEERS: dict[str, Behaviour] = {
    "hangs": hanging,
    "resets": resetting,
    "drips": dripping(response(b"x" * 1000)),
    "answers 16 MiB and more": answering(response(b" " * (1 + (16 << 20)), Content_Type="application/json")),
    "answers HTML": answering(response(b"<html>Welcome</html>", Content_Type="text/html")),
}

Source = Callable[[], bytes]


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.bench.federation", description=__doc__)
    parser.add_argument("--entities", type=int, default=1000, help="in each tenant (1000)")
    parser.add_argument("--registrations", type=int, default=2000, help="that concern no request (2000)")
    parser.add_argument("--connections", type=int, default=32, help="of the clients (32)")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each load (3)")
    parser.add_argument("--rounds", type=int, default=3, help="of all loads (3)")
    return parser.parse_args(arguments)


@dataclass
class Row:
    """A load, and its rates and 99th percentiles (ms) in each round."""

    name: str
    compared: str
    rates: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def note(self, load: Load) -> None:
        """Keeps the figures of a round."""
        expect(not load.errors, f"{self.name}: {load.failure} {dict(load.statuses)}")
        self.rates.append(load.rate)
        self.p99.append(1000 * percentile(sorted(load.latencies), 99))


def retrieve(tenant: str, entities: int) -> Source:
    """Retrievals of any of the entities."""
    return lambda: head("GET", f"{ENTITIES}/{workload.entity_id(random.randrange(entities))}", tenant=tenant)


def update(tenant: str, entities: int) -> Source:
    """Partial updates of any of the entities."""

    def request() -> bytes:
        body = workload.partial(workload.measured())
        path = f"{ENTITIES}/{workload.entity_id(random.randrange(entities))}/attrs/{workload.MEASURED}"
        return head("PATCH", path, length=len(body), tenant=tenant) + body

    return request


async def post(at: Place, path: str, doc: object, tenant: str) -> None:
    """Creates a resource."""
    body = json.dumps(doc).encode()
    answer = await call(at.port, head("POST", path, length=len(body), tenant=tenant) + body)
    expect(answer.status == 201, f"POST {path} answers {answer.status}: {answer.body[:200]!r}")


def registration(name: str, endpoint: str, **entity: str) -> dict[str, object]:
    """A registration of entities that may be read."""
    return {
        "id": f"urn:ngsi-ld:ContextSourceRegistration:{name}",
        "type": "ContextSourceRegistration",
        "information": [{"entities": [entity]}],
        "endpoint": endpoint,
        "operations": ["retrieveOps"],
    }


async def fill(at: Place, tenant: str, entities: int) -> None:
    """The entities of the bench, one by one."""
    numbers = iter(range(entities))

    async def create() -> None:
        for number in numbers:
            await post(at, f"{ENTITIES}?local=true", json.loads(workload.entity(number)), tenant)

    await asyncio.gather(*(create() for _ in range(16)))


def of_peer(name: str) -> str:
    """The id of the entity that only a peer has."""
    return f"urn:ngsi-ld:Peer:{[*PEERS].index(name)}"


async def register(home: Place, river: Place, peers: dict[str, str], number: int) -> None:
    """Nothing for one tenant, much that concerns no request for another, one source for the third."""
    numbers = itertools.count()

    async def create() -> None:
        while (n := next(numbers)) < number:
            entity = {"id": f"urn:ngsi-ld:Elsewhere:{n:06}", "type": f"Elsewhere{n % 100}"}
            await post(home, REGISTRATIONS, registration(str(n), f"http://{LOOPBACK}:1", **entity), MANY)

    await asyncio.gather(*(create() for _ in range(8)))
    root = f"http://{LOOPBACK}:{river.port}"
    of_river = {**registration("river", root, idPattern=".*"), "tenant": SOURCE}
    await post(home, REGISTRATIONS, of_river, SOURCE)
    for name, root in peers.items():
        entity = {"id": of_peer(name), "type": "Peer"}
        await post(home, REGISTRATIONS, registration(of_peer(name), root, **entity), BAD)


async def run(chosen: argparse.Namespace, console: Console) -> list[Row]:
    """All loads, in turn."""
    async with (
        contextlib.AsyncExitStack() as stack,
        place() as home,
        place("--alias", "river") as river,
    ):
        peers = {name: (await stack.enter_async_context(peer(each))).url for name, each in PEERS.items()}
        for tenant in (NOTHING, MANY, BAD):
            await fill(home, tenant, chosen.entities)
        await fill(river, SOURCE, chosen.entities)
        console.print(f"… {chosen.registrations:,} registrations", style="dim")
        await register(home, river, peers, chosen.registrations)
        return await _rounds(chosen, home, console)


async def _rounds(chosen: argparse.Namespace, home: Place, console: Console) -> list[Row]:
    size = chosen.entities
    loads: list[tuple[Row, Source]] = [
        (Row("retrieve, nothing registered", ""), retrieve(NOTHING, size)),
        (Row("retrieve, none concerned", "retrieve, nothing registered"), retrieve(MANY, size)),
        (Row("update, nothing registered", ""), update(NOTHING, size)),
        (Row("update, none concerned", "update, nothing registered"), update(MANY, size)),
        (Row("retrieve over one source", "retrieve, nothing registered"), retrieve(SOURCE, size)),
    ]
    quiet = Row("retrieve in a tenant with bad sources", "")
    beside = {name: Row(f"the same beside one that {name}", quiet.name) for name in PEERS}
    for number in range(chosen.rounds + 1):
        console.print(f"… round {number}" + (", to warm up" if not number else ""), style="dim")
        rows = [Row("", "") for _ in loads] if not number else [row for row, _ in loads]
        for row, (_, source) in zip(rows, loads, strict=True):
            row.note(await _load(home, source, chosen))
        if number:
            quiet.note(await _load(home, retrieve(BAD, size), chosen))
            for name, disturbed in beside.items():
                disturbed.note(await _disturbed(home, name, chosen))
    return [*(row for row, _ in loads), quiet, *beside.values()]


async def _load(home: Place, source: Source, chosen: argparse.Namespace) -> Load:
    return await run_load(home.port, source, connections=chosen.connections, seconds=chosen.seconds)


async def _disturbed(home: Place, name: str, chosen: argparse.Namespace) -> Load:
    """The load of other clients, while eight retrieve what a source that misbehaves may have."""
    loop = asyncio.get_running_loop()
    until = loop.time() + chosen.seconds

    async def ask() -> None:
        while loop.time() < until:
            answer = await call(home.port, head("GET", f"{ENTITIES}/{of_peer(name)}", tenant=BAD))
            expect(answer.status == 404, f"of a source that {name}: {answer.status}")
            await asyncio.sleep(0.5)

    attacks = [asyncio.create_task(ask()) for _ in range(8)]
    load = await _load(home, retrieve(BAD, chosen.entities), chosen)
    await asyncio.gather(*attacks)
    return load


def table(rows: list[Row]) -> Table:
    """The rows to look at: medians over the rounds."""
    shown = Table(
        "load", "requests/s", "p99 ms", "rate", "p99", title="ratios: to the load above it is compared with"
    )
    of = {row.name: row for row in rows}
    for row in rows:
        rate, p99 = median(row.rates), median(row.p99)
        base = of.get(row.compared)
        ratios = (f"{rate / median(base.rates):.2f}", f"{p99 / median(base.p99):.2f}") if base else ("", "")
        shown.add_row(row.name, f"{rate:,.0f}", f"{p99:.1f}", *ratios)
    return shown


def median(figures: list[float]) -> float:
    """The middle one."""
    return sorted(figures)[len(figures) // 2]


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints what it found."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table(uvloop.run(run(options(arguments), console))))


if __name__ == "__main__":
    main()
