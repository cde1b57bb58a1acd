"""The physical city: soil, valves and water, simulated step by step. Pure: no broker, no clock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from seeds.demo.city import City, Zone
from seeds.demo.clock import local_hour
from seeds.demo.soil import next_moisture
from seeds.demo.weather import Weather, weather_at

STEP = timedelta(minutes=15)
SAFETY_STOP = timedelta(hours=4)  # a valve left open closes by itself
SENSOR_NOISE = 0.002  # parts per one
DRIER_SIDE = 0.004  # how far the two probes of a zone are from its mean


@dataclass
class World:
    """The true state of the city. Only the devices read it and turn its valves."""

    city: City
    now: datetime
    seed: int = 2026
    moisture: dict[str, float] = field(default_factory=dict)  # by zone
    litres: dict[str, float] = field(default_factory=dict)  # by meter
    opened: dict[str, datetime] = field(default_factory=dict)  # open valves, since when
    open_minutes: dict[str, float] = field(default_factory=dict)  # by valve

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.moisture = {zone.id: zone.moisture for zone in self.city.zones}
        self.litres = {zone.meter: 0.0 for zone in self.city.zones}
        self.open_minutes = {zone.valve: 0.0 for zone in self.city.zones}

    @property
    def weather(self) -> Weather:
        return weather_at(self.now)

    @property
    def dark(self) -> bool:
        return self.weather.radiation < 10

    def turn(self, valve: str, opened: bool) -> bool:
        """Opens or closes a valve. Returns whether its state changed."""
        if opened == (valve in self.opened):
            return False
        if opened:
            self.opened[valve] = self.now
        else:
            del self.opened[valve]
        return True

    def advance(self, step: timedelta = STEP) -> list[str]:
        """Advances the time by a step. Returns the valves that closed themselves for safety."""
        for zone in self.city.zones:
            self.moisture[zone.id] = self.grown(zone, step)
        self.now += step
        overdue = [valve for valve, since in self.opened.items() if self.now - since >= SAFETY_STOP]
        for valve in overdue:
            self.turn(valve, opened=False)
        return overdue

    def grown(self, zone: Zone, step: timedelta) -> float:
        """The moisture of a zone after a step. Its meter counts the water of the valve."""
        minutes = step / timedelta(minutes=1) if zone.valve in self.opened else 0.0
        self.open_minutes[zone.valve] += minutes
        self.litres[zone.meter] += minutes * zone.flow
        poured = minutes * zone.poured_mm
        return next_moisture(
            self.moisture[zone.id], step / timedelta(hours=1), self.weather, zone.crop, poured
        )

    def readings(self, zone: Zone) -> dict[str, float]:
        """The readings of a zone's probes, by probe: the true moisture with an offset and noise."""
        sides = (-DRIER_SIDE, DRIER_SIDE)
        return {
            probe: round(self.moisture[zone.id] + side + self.random.uniform(-SENSOR_NOISE, SENSOR_NOISE), 3)
            for probe, side in zip(zone.probes, sides, strict=True)
        }

    def soil_temperature(self) -> float:
        return round(12 + 0.4 * self.weather.temperature, 1)

    def free_spots(self, spots: int) -> int:
        """The number of free spots of a car park: few by day, most at night."""
        hour = local_hour(self.now)
        busy = 0.85 if 9 <= hour < 19 else 0.45 if 7 <= hour < 22 else 0.15
        return round(spots * (1 - busy * self.random.uniform(0.85, 1.1)))
