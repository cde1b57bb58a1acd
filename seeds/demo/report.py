"""The final report: the water that each park used, from the temporal API, and what timers would have used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from rich.console import Console
from rich.table import Table

from seeds.demo.city import City, of_type
from seeds.demo.client import Client
from seeds.demo.clock import LOCAL, stamp

BARS = " ▁▂▃▄▅▆▇█"
Series = dict[datetime, float]


@dataclass(frozen=True)
class Usage:
    """The water that one park used."""

    park: str
    days: list[float]  # litres, day by day
    timer: float  # litres that the fixed programs would have used

    @property
    def litres(self) -> float:
        return sum(self.days)


async def usages(client: Client, city: City, start: datetime, days: int) -> list[Usage]:
    """The usage of each park: measured by its meter, and what its valves' fixed timers would have used."""
    timers = await fixed_timers(client)
    result = []
    for meter in of_type(city.entities, "WaterConsumptionObserved"):
        readings = await evolution(
            client, meter["id"], "waterConsumption", start, start + timedelta(days=days, hours=1)
        )
        park = meter["isPartOf"]["object"]
        result.append(Usage(city.parks[park], by_day(readings, start, days), timers[park] * days))
    return result


async def fixed_timers(client: Client) -> dict[str, float]:
    """The litres per day that each park's fixed timers would pour on all zones, in any weather."""
    totals: dict[str, float] = {}
    found = await client.get("/entities", type="Device", q="timerMinutes", format="simplified", limit=100)
    for valve in found.body:
        litres = valve["timerMinutes"] * valve["nominalFlow"]
        totals[valve["isPartOf"]] = totals.get(valve["isPartOf"], 0.0) + litres
    return totals


async def evolution(client: Client, entity: str, attribute: str, start: datetime, end: datetime) -> Series:
    """All values of an attribute between two times. After a 206 (a part), it reads on from there.

    Of several values of one time the last one counts, since the same week may have been replayed before.
    """
    series: Series = {}
    since = start
    while True:
        reply = await client.get(
            f"/temporal/entities/{entity}",
            attrs=attribute,
            timerel="between",
            timeAt=stamp(since),
            endTimeAt=stamp(end),
            format="temporalValues",
        )
        known = len(series)
        series |= {datetime.fromisoformat(when): value for value, when in values(reply.body, attribute)}
        if reply.status != 206 or len(series) == known:
            return dict(sorted(series.items()))
        since = max(series)


def values(evolution: dict[str, Any], attribute: str) -> list[tuple[float, str]]:
    """The (value, time) pairs of a temporalValues representation."""
    return [(value, when) for value, when in evolution[attribute]["values"]]


def by_day(readings: Series, start: datetime, days: int) -> list[float]:
    """The litres that a meter counted on each day."""
    midnights = [start + timedelta(days=day) for day in range(days + 1)]
    return [later - earlier for earlier, later in pairwise(stand(readings, night) for night in midnights)]


def stand(readings: Series, when: datetime) -> float:
    """The last reading of the meter at this time."""
    return readings[max(moment for moment in readings if moment <= when)]


def sparkline(days: list[float], most: float) -> str:
    """A bar chart with one character per day."""
    return "".join(BARS[round(day / most * (len(BARS) - 1)) if most else 0] for day in days)


def saved(litres: float, timer: float) -> str:
    return f"{1 - litres / timer:.0%}" if timer else "-"


def print_report(console: Console, parks: list[Usage], start: datetime) -> None:
    """Prints the table of measured water, timer water and savings."""
    table = Table(
        title=f"Water used, {len(parks[0].days)} day(s) from {start.astimezone(LOCAL):%A %d %B %Y}", width=79
    )
    table.add_column("Park", no_wrap=True)
    table.add_column("By day", no_wrap=True)
    for heading in ("Measured", "Timer", "Saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    for usage in parks:
        days = sparkline(usage.days, max(usage.days))
        table.add_row(
            usage.park, days, cubic(usage.litres), cubic(usage.timer), saved(usage.litres, usage.timer)
        )
    litres, timer = sum(usage.litres for usage in parks), sum(usage.timer for usage in parks)
    table.add_section()
    table.add_row("All parks", "", cubic(litres), cubic(timer), saved(litres, timer), style="bold")
    console.print(table)


def cubic(litres: float) -> str:
    return f"{litres / 1000:,.1f} m³"
