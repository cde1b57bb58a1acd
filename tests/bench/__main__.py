"""`python -m tests.bench`: load a broker with what the field does, and tell it against a bare handler.

One run starts a broker and a bare aiohttp handler, fills the broker with entities, and goes through the
scenarios one after the other from the same connections. The bare handler is measured before and after
each of them, and is the yardstick H nearby, since a machine is seldom as quiet as it looks. CPU comes
from the operating system's count for the broker's processes and for mongod, so it holds everything that
a request causes. With --url the broker is one that runs already: then CPU and memory are not known.
"""

import argparse
import asyncio
import contextlib
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from rich.console import Console

from tests.bench import report as reporting
from tests.bench.client import LOOPBACK, Load, head, run_load
from tests.bench.delivery import Deliveries
from tests.bench.notifications import Notify, Trial
from tests.bench.processes import Family, Neighbours, Usage, free_port, machine, serving
from tests.bench.report import Report, Row
from tests.bench.scenarios import SCENARIOS, Scenario, Target, WrongAnswer

SERVE = (sys.executable, "-m", "broker", "serve", "--host", LOOPBACK)
NOTIFICATIONS, DELIVERY = "notifications", "delivery"


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [scenario.key for scenario in SCENARIOS] + [NOTIFICATIONS, DELIVERY]
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per scenario (5)")
    parser.add_argument("--connections", type=int, default=64, help="one request in flight on each (64)")
    parser.add_argument("--entities", type=int, default=10_000, help="in the broker, over 10 types (10000)")
    parser.add_argument("--subscriptions", type=int, default=10_000, help="that do not match (10000)")
    parser.add_argument("--workers", type=int, default=1, help="of the broker that is started (1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=names, help=f"of: {', '.join(names)}")
    parser.add_argument("--url", help="a broker that runs already, on loopback")
    parser.add_argument("--json", type=Path, help="where to write the figures (.bench/<time>.json)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--quick", action="store_true", help="0.3 s each, 500 entities, 200 subscriptions")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.only) - set(names):
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    if chosen.quick:
        chosen.seconds, chosen.entities, chosen.subscriptions = 0.3, 500, 200
    chosen.json = chosen.json or Path(".bench") / time.strftime("%Y%m%d-%H%M%S.json")
    return chosen


@dataclass(frozen=True)
class Bare:
    """The bare handler: where it listens, and its process."""

    port: int
    family: Family


class Bench:
    """One run against one broker and one bare handler."""

    def __init__(self, chosen: argparse.Namespace, at: Target, bare: Bare, family: Family | None) -> None:
        self._chosen, self._at, self._bare, self._family = chosen, at, bare, family
        self._console = Console(stderr=True)

    async def run(self) -> Report:
        """All the chosen scenarios, and the bare handler before and after each."""
        told = {name: value for name, value in vars(self._chosen).items() if name != "json"}
        report = Report(machine(self._family), told)
        self._say("preload")
        await self._at.preload()
        chosen = [scenario for scenario in SCENARIOS if scenario.key in self._chosen.only]
        report.bare.append(await self._yardstick())
        for scenario in chosen:
            row = await self._scenario(scenario(self._at))
            report.add([row], await self._yardstick())
        if NOTIFICATIONS in self._chosen.only:
            rows: list[Row] = []
            if wrong := await reason(self._notifications(report, rows)):
                rows.append(Row.of(Notify.name, Load(), self._chosen.connections, wrong=wrong))
            report.add(rows, await self._yardstick())
        if DELIVERY in self._chosen.only and (wrong := await reason(self._deliveries(report))):
            row = Row.of(DELIVERY, Load(), self._chosen.connections, wrong=wrong)
            report.add([row], await self._yardstick())
        return report

    def _say(self, what: str) -> None:
        self._console.print(f"… {what}", style="dim", highlight=False)

    async def _yardstick(self) -> Row:
        self._say("bare handler")
        request, port, connections = head("GET", "/"), self._bare.port, self._chosen.connections
        await run_load(port, lambda: request, connections=connections, seconds=0.3)
        before, neighbours = self._bare.family.usage(), self._neighbours()
        seconds = min(self._chosen.seconds, 1.0)
        load = await run_load(port, lambda: request, connections=connections, seconds=seconds)
        used = self._bare.family.usage().since(before)
        return Row.of("bare handler (H)", load, connections, used, neighbours.share())

    async def _scenario(self, scenario: Scenario) -> Row:
        """Prepare, warm up, measure, check."""
        self._say(scenario.name)
        connections, seconds = scenario.connections(self._chosen.connections), self._chosen.seconds
        if wrong := await reason(scenario.prepare()):
            return Row.of(scenario.name, Load(), connections, wrong=wrong, target=scenario.target)
        await run_load(self._at.port, scenario, connections=connections, seconds=seconds / 5)
        before, neighbours = self._meter(), self._neighbours()
        load = await run_load(self._at.port, scenario, connections=connections, seconds=seconds)
        after, others, wrong = self._meter(), neighbours.share(), await reason(scenario.check(load))
        used = after.since(before) if after and before else None
        return Row.of(scenario.name, load, connections, used, others, wrong, scenario.items, scenario.target)

    async def _notifications(self, report: Report, rows: list[Row]) -> None:
        """One subscriber, alone and among those that don't match: a row each, by the middle window."""
        self._say(NOTIFICATIONS)
        trial = Trial(self._at, self._meter, self._chosen.connections, self._chosen.seconds * 0.6)
        neighbours = self._neighbours()
        report.comparison = found = await trial.run(self._chosen.subscriptions, self._say)
        connections, others = self._chosen.connections, neighbours.share()
        crowded = f"same, {found.subscriptions:,} idle subscriptions"
        for name, windows in (Notify.name, found.quiet), (crowded, found.crowded):
            window = sorted(windows, key=lambda each: each.load.rate)[len(windows) // 2]
            rows.append(Row.of(name, window.load, connections, window.used, others))

    async def _deliveries(self, report: Report) -> None:
        """What many subscriptions are told of each update; the bare handler after each row."""
        connections, seconds = self._chosen.connections, self._chosen.seconds
        trial = Deliveries(self._at, self._meter, self._neighbours, connections, seconds)
        async for row in trial.rows(self._say):
            report.add([row], await self._yardstick())

    def _neighbours(self) -> Neighbours:
        return Neighbours(self._family, self._bare.family)

    def _meter(self) -> Usage | None:
        return self._family.usage() if self._family else None


async def reason(done: Awaitable[None]) -> str:
    """Why something went wrong that the broker was asked to do; empty if it did it."""
    try:
        await done
    except (WrongAnswer, LookupError, TypeError, ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@contextlib.asynccontextmanager
async def broker(chosen: argparse.Namespace, folder: Path) -> AsyncIterator[tuple[int, Family | None]]:
    """The broker under load: the one at --url, or one of our own with a fresh data directory."""
    if chosen.url:
        yield urlsplit(chosen.url).port or 1026, None
        return
    port = free_port()
    command = [*SERVE, "--port", str(port), "--workers", str(chosen.workers)]
    command += ["--data-dir", str(folder / "data")]
    async with serving(command, port, "/health/ready", folder / "broker.log") as pid:
        yield port, Family(pid)


async def bench(chosen: argparse.Namespace) -> Report:
    """Start what is to be measured, measure it, stop it; a SIGTERM stops it, too."""
    if task := asyncio.current_task():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    bare = free_port()
    command = [sys.executable, "-m", "tests.bench.bare", str(bare)]
    with tempfile.TemporaryDirectory(prefix="eridanus-bench-") as name:
        folder = Path(name)
        async with (
            serving(command, bare, "/", folder / "bare.log") as pid,
            broker(chosen, folder) as (port, family),
        ):
            at = Target(port, chosen.entities, secrets.token_hex(3))
            return await Bench(chosen, at, Bare(bare, Family(pid)), family).run()


def main() -> int:
    """Run, show, write; 1 if a scenario had errors or wrong answers (a missed target is not an error)."""
    chosen = options()
    report = uvloop.run(bench(chosen))
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_bytes(report.as_json())
    if chosen.markdown:
        print(reporting.markdown(report))
    else:
        reporting.show(report, Console(width=None if sys.stdout.isatty() else 200))
    print(f"written to {chosen.json}", file=sys.stderr)
    return int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
