"""Saint-Quentin reads the river's level at the neighbour upstream, and closes a sluice there.

Ham has a gauge and a sluice on the Somme, Saint-Quentin a gauge of its own. They agree: Saint-Quentin may
read both gauges and write the sluice. So its broker gets two registrations, and its programs know nothing
of them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from seeds.cities.town import Town
from seeds.demo.client import Client, DemoError, observed

HOME_GAUGE = "urn:ngsi-ld:WaterObserved:saint-quentin:somme"
HAM_GAUGE = "urn:ngsi-ld:WaterObserved:ham:somme"
SLUICE = "urn:ngsi-ld:Device:ham:sluice"
ALARM = 1.8  # m; above it water has to be held back upstream


async def tell(console: Console) -> None:
    """The whole demonstration. DemoError if a broker cannot be started, or does something else than told."""
    async with towns() as (home, ham), aiohttp.ClientSession() as session:
        here, there = home.client(session), ham.client(session)
        await load(here, there)
        await register(here, ham)
        say(console, "Ham has a gauge and a sluice. Saint-Quentin's broker knows that, by two registrations.")
        await show(console, here)
        say(console, "It rains upstream: Ham's gauge reports 2.1 m, at Ham.")
        await there.patch(f"/entities/{HAM_GAUGE}/attrs", {"waterLevel": level(2.1)})
        await protect(console, here)
        await check(console, there)
        say(console, "Ham's broker stops. Saint-Quentin goes on with what it has itself, and is warned.")
        await ham.close()
        await show(console, here)
        say(console, "Ham's broker is back.")
        await ham.open()
        await show(console, here)


@asynccontextmanager
async def towns() -> AsyncIterator[tuple[Town, Town]]:
    """The brokers of Saint-Quentin and of Ham, with databases in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="eridanus-cities-", ignore_cleanup_errors=True) as folder:
        home, ham = Town("saint-quentin", Path(folder)), Town("ham", Path(folder))
        try:
            await asyncio.gather(home.open(), ham.open())
            yield home, ham
        finally:
            await asyncio.gather(home.close(), ham.close())


async def load(here: Client, there: Client) -> None:
    """What each town has itself."""
    await here.post("/entities", gauge(HOME_GAUGE, 1.1))
    await there.post("/entities", gauge(HAM_GAUGE, 1.2))
    sluice = {"id": SLUICE, "type": "Device", "command": {"type": "Property", "value": "open"}}
    await there.post("/entities", sluice)


def gauge(entity_id: str, metres: float) -> dict[str, Any]:
    return {"id": entity_id, "type": "WaterObserved", "waterLevel": level(metres)}


def level(metres: float) -> dict[str, Any]:
    return observed(metres, datetime.now(UTC), "MTR")


async def register(here: Client, ham: Town) -> None:
    """The agreement: gauges may be read; the sluice is at Ham alone, and may be written."""
    await here.post(
        "/csourceRegistrations",
        registration("gauges", ham, {"type": "WaterObserved"}, ["retrieveOps"], "inclusive"),
    )
    await here.post(
        "/csourceRegistrations",
        registration("sluice", ham, {"id": SLUICE, "type": "Device"}, ["redirectionOps"], "redirect"),
    )


def registration(
    name: str, ham: Town, entity: dict[str, str], operations: list[str], mode: str
) -> dict[str, Any]:
    return {
        "id": f"urn:ngsi-ld:ContextSourceRegistration:ham:{name}",
        "type": "ContextSourceRegistration",
        "information": [{"entities": [entity]}],
        "endpoint": ham.url,
        "operations": operations,
        "mode": mode,
        "management": {"timeout": 1000},
    }


async def show(console: Console, here: Client) -> list[dict[str, Any]]:
    """Prints the gauges as Saint-Quentin's broker knows them; one query, whoever has them."""
    reply = await here.get("/entities", type="WaterObserved", options="simplified")
    for entity in reply.body:
        console.print(f"    {entity['id'].split(':')[3]:<15}{entity['waterLevel']:.1f} m", highlight=False)
    if warning := reply.headers.get("NGSILD-Warning"):
        console.print(f"    warning: {warning}", style="yellow", highlight=False, soft_wrap=True)
    gauges: list[dict[str, Any]] = reply.body
    return gauges


async def protect(console: Console, here: Client) -> None:
    """The program of Saint-Quentin: it asks and writes at its own broker only."""
    gauges = await show(console, here)
    if any(entity["waterLevel"] > ALARM for entity in gauges):
        say(console, f"That is above {ALARM} m: Saint-Quentin writes command = close, at its own broker.")
        await here.patch(f"/entities/{SLUICE}/attrs/command", {"value": "close"})


async def check(console: Console, there: Client) -> None:
    """What Ham's own broker says of the sluice. DemoError if the command did not arrive."""
    sluice = (await there.get(f"/entities/{SLUICE}", options="simplified")).body
    if sluice["command"] != "close":
        raise DemoError(f"Ham's sluice should be told to close, and is told {sluice['command']}")
    console.print("    Ham's broker: the sluice is told to close", highlight=False)


def say(console: Console, sentence: str) -> None:
    console.print(f"\n{sentence}", style="bold", highlight=False)
