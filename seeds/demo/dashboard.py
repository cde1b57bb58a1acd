"""The output during the replay: the state of the parks, read from the broker a few times per second.

At a terminal it is a live table; otherwise a few plain lines.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from seeds.demo.city import City
from seeds.demo.client import Client
from seeds.demo.clock import said
from seeds.demo.devices import STATION, Devices
from seeds.demo.irrigation import DRY, WET, Irrigation
from seeds.demo.listener import Listener

REFRESH = 0.4  # seconds
LINES = 10  # plain lines in one run
WIDTH = 78


@dataclass(frozen=True)
class Row:
    """The state of one park in the broker."""

    moisture: list[float]
    open_valves: int
    litres: float


@dataclass
class Dashboard:
    """Shows the state of the parks in the broker, and the progress of the programs."""

    client: Client
    city: City
    devices: Devices
    app: Irrigation
    listeners: tuple[Listener, ...]
    steps: int
    console: Console

    async def rows(self) -> dict[str, Row]:
        """The state of each park, by its id, from three queries."""
        soil = await self.query(type="GreenspaceRecord", attrs="soilMoistureVwc,isPartOf")
        valves = await self.query(type="Device", q='deviceState=="open"', attrs="isPartOf")
        meters = await self.query(type="WaterConsumptionObserved", attrs="waterConsumption,isPartOf")
        return {
            park: Row(
                moisture=[probe["soilMoistureVwc"] for probe in soil if probe["isPartOf"] == park],
                open_valves=sum(valve["isPartOf"] == park for valve in valves),
                litres=sum(meter["waterConsumption"] for meter in meters if meter["isPartOf"] == park),
            )
            for park in self.city.parks
        }

    async def query(self, **params: str) -> list[dict[str, Any]]:
        reply = await self.client.get("/entities", format="simplified", limit=100, **params)
        return list(reply.body)

    async def temperature(self) -> float:
        reply = await self.client.get(f"/entities/{STATION}", format="simplified", attrs="temperature")
        return float(reply.body["temperature"])

    async def show(self) -> None:
        """Shows the dashboard until cancelled: live at a terminal, otherwise as lines."""
        await (self.live() if self.console.is_terminal else self.lines())

    async def live(self) -> None:
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(self.picture(await self.rows(), await self.temperature()), refresh=True)
                await asyncio.sleep(REFRESH)

    async def lines(self) -> None:
        """Prints a line for every tenth of the story."""
        shown = -1
        while True:
            tenth = int(self.done * LINES)
            if tenth != shown:
                shown = tenth
                self.console.print(
                    self.line(await self.rows(), await self.temperature()), highlight=False, soft_wrap=True
                )
            await asyncio.sleep(REFRESH / 4)

    @property
    def done(self) -> float:
        """The share of the story that has been replayed, from 0 to 1."""
        return min(1.0, self.devices.steps / self.steps)

    def picture(self, rows: dict[str, Row], temperature: float) -> RenderableType:
        heading = f"{said(self.devices.world.now)}   {temperature:.0f} °C, {self.sky()}"
        latest = Text("\n".join(self.app.latest), style="dim", no_wrap=True)
        return Group(Text(heading, style="bold"), self.bar(), self.table(rows), latest, self.footer())

    def bar(self) -> Text:
        filled = round(self.done * WIDTH)
        return Text.assemble(("━" * filled, "cyan"), ("━" * (WIDTH - filled), "bright_black"))

    def table(self, rows: dict[str, Row]) -> Table:
        table = Table(box=SIMPLE_HEAD, width=WIDTH, pad_edge=False)
        table.add_column("Park", no_wrap=True, ratio=1)
        table.add_column("Driest soil", no_wrap=True)
        table.add_column("Valves", justify="right", no_wrap=True)
        table.add_column("Water", justify="right", no_wrap=True, min_width=9)
        for park, row in rows.items():
            valves = (
                Text(f"{row.open_valves} open", "bold cyan") if row.open_valves else Text("closed", "dim")
            )
            table.add_row(self.city.parks[park], gauge(row.moisture), valves, f"{row.litres / 1000:,.1f} m³")
        return table

    def footer(self) -> Text:
        return Text(f"{self.devices.readings:,} readings written, {self.received:,} notifications received")

    def line(self, rows: dict[str, Row], temperature: float) -> str:
        moisture = [value for row in rows.values() for value in row.moisture]
        return (
            f"{said(self.devices.world.now)}  {temperature:3.0f} °C"
            f"  soil {min(moisture):.0%} to {max(moisture):.0%}"
            f"  {sum(row.open_valves for row in rows.values()):2} valves open"
            f"  {sum(row.litres for row in rows.values()) / 1000:6,.1f} m³"
            f"  {self.devices.readings:6,} readings  {self.received:5,} notifications"
        )

    @property
    def received(self) -> int:
        return sum(listener.received for listener in self.listeners)

    def sky(self) -> str:
        return "rain" if self.app.sky.rain else "rain expected" if self.app.sky.wet else "dry"


def gauge(moisture: list[float]) -> Text:
    """A bar for the driest probe: red if the soil is too dry, blue if it is wet enough."""
    driest = min(moisture)
    style = "red" if driest < DRY else "blue" if driest > WET else "green"
    return Text.assemble((f"{'█' * round(driest * 44):<15}", style), f"{driest:4.0%}")  # 15 is 34 %: full
