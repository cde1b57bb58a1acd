"""`python -m tests.bench.packing`: what packing older history does to those who write meanwhile.

Two brokers, in turn, each with a worker, the same entities and the same past; one of them packs. Devices
update entities at both; told is the p99 of their updates, by pairs of runs.
"""

import argparse
import sys
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from tests.bench import growth, history, workload
from tests.bench.client import Load, head, percentile, run_load
from tests.bench.history import Place, place
from tests.bench.scenarios import ENTITIES, expect

PAST = 100_000  # instances of one attribute
SETTINGS = {False: ("--pack-after", "none"), True: ("--pack-after", "0", "--pack-interval", "0.1")}


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.bench.packing", description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="(3)")
    parser.add_argument("--entities", type=int, default=1000, help="that are updated (1000)")
    parser.add_argument("--series", type=int, default=4, help=f"of {PAST} older instances each (4)")
    parser.add_argument("--connections", type=int, default=32, help="of devices (32)")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each run (5)")
    return parser.parse_args(arguments)


async def run(chosen: argparse.Namespace, *, packs: bool) -> tuple[Load, int]:
    """The devices' load at one broker, and how many instances were packed meanwhile."""
    async with place(*SETTINGS[packs]) as at:
        await growth.fill(at, range(chosen.entities))
        numbers = workload.shuffled(chosen.entities)

        def update() -> bytes:
            body = workload.partial(workload.measured())
            path = f"{ENTITIES}/{workload.entity_id(next(numbers))}/attrs/{workload.MEASURED}"
            return head("PATCH", path, length=len(body)) + body

        await run_load(at.port, update, connections=chosen.connections, seconds=1.0)
        for n in range(chosen.series):
            await history.fill(at, f"urn:x:{n}", 1, PAST)
        before = await _packed(at)
        load = await run_load(at.port, update, connections=chosen.connections, seconds=chosen.seconds)
        expect(not load.errors, f"updates failed: {load.failure}")
        return load, await _packed(at) - before


async def _packed(at: Place) -> int:
    rows = await (
        await at.tenant.packed.aggregate([{"$group": {"_id": None, "n": {"$sum": "$n"}}}])
    ).to_list()
    return int(rows[0]["n"]) if rows else 0


def main(arguments: list[str] | None = None) -> None:
    """Runs it and prints what it found."""
    chosen, console = options(arguments), Console(width=None if sys.stdout.isatty() else 160)
    table = Table("packs", "updates/s", "p50 ms", "p99 ms", "packed meanwhile", title="updates while packing")
    ratios = []
    for number in range(chosen.pairs):
        found = {}
        for packs in (True, False) if number % 2 else (False, True):
            load, packed = uvloop.run(run(chosen, packs=packs))
            p50, p99 = (percentile(sorted(load.latencies), one) for one in (50, 99))
            found[packs] = p99
            figures = f"{load.rate:,.0f}", f"{1000 * p50:.1f}", f"{1000 * p99:.1f}", f"{packed:,}"
            table.add_row("yes" if packs else "no", *figures)
        ratios.append(found[True] / found[False])
    console.print(table)
    console.print(
        f"p99 with packing is {median(ratios):.2f} times that without (median of {chosen.pairs} pairs)"
    )


if __name__ == "__main__":
    main()
