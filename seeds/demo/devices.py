"""The devices in the field. They report measurements of the world, and turn valves on command.

Probes report in batches, through the gateway of their park. The weather station updates several attributes
at once; valves, meters, car parks and the forecast send single partial updates. The valves' controller
subscribes to the `command` of its valves, as it would behind any vendor's gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from time import monotonic
from typing import Any

from seeds.demo.city import City, Entity
from seeds.demo.client import Client, observed
from seeds.demo.listener import Listener
from seeds.demo.weather import chance_of_rain
from seeds.demo.world import STEP, World

SUBSCRIPTION = "urn:ngsi-ld:Subscription:SaintQuentin:ValveCommands"
STATION = "urn:ngsi-ld:WeatherObserved:SaintQuentin:ParcIsle"
FORECAST = "urn:ngsi-ld:WeatherForecast:SaintQuentin:ParcIsle"
PROBE = ["Device", "GreenspaceRecord"]

Sending = Coroutine[Any, Any, object]
Heard = Callable[[datetime], Awaitable[None]]  # waits until the app has been notified of that time's weather


class Devices:
    """All devices of the city, on one world and one broker."""

    def __init__(self, client: Client, world: World) -> None:
        self.client = client
        self.world = world
        self.readings = 0  # attribute values sent
        self.steps = 0  # of the story, each a quarter of an hour
        self.lit: bool | None = None

    @property
    def city(self) -> City:
        return self.world.city

    # -- commands ----------------------------------------------------------------------------------------

    async def subscribe(self, listener: Listener) -> None:
        """Subscribes to the commands of valves."""
        await self.client.forget(f"/subscriptions/{SUBSCRIPTION}")
        await self.client.post("/subscriptions", subscription(listener.url))

    async def obey(self, listener: Listener) -> None:
        """Turns valves when commands arrive, until cancelled."""
        async for notification in listener.notifications():
            for valve in notification["data"]:
                await self.turn(valve["id"], opened=valve["command"]["value"] == "open")

    async def turn(self, valve: str, opened: bool) -> None:
        """Turns one valve, and reports its new state."""
        if self.world.turn(valve, opened):
            await self.report(valve, "deviceState", "open" if opened else "closed")

    # -- reports -----------------------------------------------------------------------------------------

    async def replay(self, until: datetime, seconds: float, heard: Heard) -> None:
        """Replays the time up to `until` in `seconds`, or longer if notifications take longer."""
        pause = seconds / max(1, (until - self.world.now) // STEP)
        due = monotonic()
        while self.world.now < until:
            stopped = self.world.advance()
            self.steps += 1
            await asyncio.gather(*self.due(), *(self.report(v, "deviceState", "closed") for v in stopped))
            await heard(self.world.now)
            due += pause
            await asyncio.sleep(max(0.0, due - monotonic()))
        await asyncio.gather(*(self.report_meter(meter) for meter in self.world.litres))

    def due(self) -> Iterable[Sending]:
        """Yields the requests to send after a step."""
        yield from self.probes()
        yield self.station()
        yield from self.meters()
        if self.on_the_hour:
            yield self.report(FORECAST, "precipitationProbability", chance_of_rain(self.world.now), "C62")
            yield from self.car_parks()
        if self.world.dark != self.lit:
            yield self.street_lights()

    @property
    def on_the_hour(self) -> bool:
        return self.world.now.minute == 0

    def probes(self) -> Iterable[Sending]:
        """Yields one batch for each park, as its LoRaWAN gateway would send it."""
        for _, zones in groupby(self.city.zones, key=attrgetter("park")):
            readings = [reading for zone in zones for reading in self.world.readings(zone).items()]
            yield self.batch([self.probe(*reading) for reading in readings])

    def probe(self, identifier: str, moisture: float) -> Entity:
        now = self.world.now
        entity = {"id": identifier, "type": PROBE, "soilMoistureVwc": observed(moisture, now, "C62")}
        if self.on_the_hour:
            entity["soilTemperature"] = observed(self.world.soil_temperature(), now, "CEL")
        return entity

    async def batch(self, entities: list[Entity]) -> None:
        self.readings += sum(len(entity) - 2 for entity in entities)
        await self.client.post("/entityOperations/upsert", entities, options="update")

    async def station(self) -> None:
        """Sends the five values of the weather station in one update."""
        weather, now = self.world.weather, self.world.now
        values = {
            "temperature": observed(weather.temperature, now, "CEL"),
            "relativeHumidity": observed(weather.humidity, now, "C62"),
            "precipitation": observed(weather.rain * (STEP / timedelta(hours=1)), now, "MMT"),
            "windSpeed": observed(weather.wind, now, "MTS"),
            "solarRadiation": observed(weather.radiation, now, "D54"),
        }
        self.readings += len(values)
        await self.client.patch(f"/entities/{STATION}/attrs", values)

    def meters(self) -> Iterable[Sending]:
        """The reports of the meters: while water runs, and on the hour."""
        running = {zone.meter for zone in self.city.zones if zone.valve in self.world.opened}
        return (
            self.report_meter(meter) for meter in self.world.litres if self.on_the_hour or meter in running
        )

    async def report_meter(self, meter: str) -> None:
        await self.report(meter, "waterConsumption", round(self.world.litres[meter]), "LTR")

    def car_parks(self) -> Iterable[Sending]:
        for identifier, spots in self.city.parkings.items():
            yield self.report(identifier, "availableSpotNumber", self.world.free_spots(spots), "C62")

    async def street_lights(self) -> None:
        """Sends the state of the street lights as a batch, at dusk and at dawn."""
        self.lit = self.world.dark
        state = observed("on" if self.lit else "off", self.world.now)
        await self.batch(
            [{"id": light, "type": "Streetlight", "powerState": state} for light in self.city.lights]
        )

    async def report(self, identifier: str, attribute: str, value: Any, unit: str | None = None) -> None:
        """Sends a partial update of one attribute."""
        self.readings += 1
        await self.client.patch(
            f"/entities/{identifier}/attrs/{attribute}", observed(value, self.world.now, unit)
        )


def subscription(url: str) -> Entity:
    return {
        "id": SUBSCRIPTION,
        "type": "Subscription",
        "subscriptionName": "The valves' controller",
        "entities": [{"type": "Device"}],
        "watchedAttributes": ["command"],
        "notification": {
            "attributes": ["command"],
            "endpoint": {"uri": url, "accept": "application/json"},
        },
    }
