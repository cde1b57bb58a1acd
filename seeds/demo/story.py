"""The whole demonstration: broker, seeds, replay, report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any

import aiohttp
from rich.console import Console

from seeds.demo import city as seeds
from seeds.demo import loader, process, report
from seeds.demo.client import Client, DemoError
from seeds.demo.clock import START
from seeds.demo.dashboard import Dashboard
from seeds.demo.devices import SUBSCRIPTION, Devices
from seeds.demo.irrigation import Decision, Irrigation, subscriptions
from seeds.demo.listener import listening
from seeds.demo.world import STEP, World

TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    days: int = 7
    seconds: float = 60.0
    broker: str | None = None
    listen: str = "127.0.0.1"


async def tell(options: Options, console: Console) -> None:
    """Runs the demonstration on a new broker, or on the one that the options name."""
    async with a_broker(options, console) as url, aiohttp.ClientSession(timeout=TIMEOUT) as session:
        client, city = Client(session, url), seeds.load()
        await loader.load(client, city, console)
        found = await loader.counts(client)
        console.print(
            "In the broker: " + ", ".join(f"{n} {name}" for name, n in found.items()), highlight=False
        )
        await replay(options, console, client, city)


@asynccontextmanager
async def a_broker(options: Options, console: Console) -> AsyncIterator[str]:
    """Yields the URL of the named broker, or of one that runs for the demonstration."""
    if options.broker:
        yield options.broker
        return
    console.print("Starting a broker of our own.")
    began = monotonic()
    async with process.broker() as url:
        console.print(f"It was ready in {monotonic() - began:.1f} s, at {url}", highlight=False)
        yield url
        console.print("Stopping the broker.")


async def replay(options: Options, console: Console, client: Client, city: seeds.City) -> None:
    """Replays the days, and prints the report."""
    devices, app = Devices(client, World(city, START)), Irrigation(client)
    end = START + timedelta(days=options.days)
    steps, began = (end - START) // STEP, monotonic()
    async with listening(options.listen) as to_app, listening(options.listen) as to_devices:
        dashboard = Dashboard(client, city, devices, app, (to_app, to_devices), steps, console)
        try:
            await app.learn()
            await app.subscribe(to_app)
            await devices.subscribe(to_devices)
            await alongside(
                devices.replay(end, options.seconds, app.heard),
                app.run(to_app),
                devices.obey(to_devices),
                dashboard.show(),
            )
        finally:
            await unsubscribe(client)
    done = summary(devices, app, dashboard.received, monotonic() - began)
    report.print_report(console, await report.usages(client, city, START, options.days), START)
    console.print(done, highlight=False, soft_wrap=not console.is_terminal)


async def alongside(main: Coroutine[Any, Any, None], *others: Coroutine[Any, Any, None]) -> None:
    """Runs `main` with the others beside it until it ends. A failure of any of them cancels all."""
    tasks = [asyncio.create_task(coroutine) for coroutine in (main, *others)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def unsubscribe(client: Client) -> None:
    """Deletes the demonstration's subscriptions, if the broker can still be reached."""
    try:
        for identifier in (SUBSCRIPTION, *(each["id"] for each in subscriptions(""))):
            await client.forget(f"/subscriptions/{identifier}")
    except DemoError:
        return


def summary(devices: Devices, app: Irrigation, received: int, took: float) -> str:
    """The numbers of the replay, as a text."""
    zones, soil = devices.city.zones, devices.world.moisture.values()
    before, after = sum(zone.moisture for zone in zones) / len(zones), sum(soil) / len(zones)
    opened, night, rain = (app.decisions[decision] for decision in Decision)
    return (
        f"{devices.readings:,} readings and {received:,} notifications in {took:.0f} s. "
        f"{opened} waterings; {night} put off until the night and {rain} because rain was coming. "
        f"The soil held {before:.0%} of water at the beginning and {after:.0%} at the end, "
        f"the driest zone {min(soil):.0%}."
    )
