"""The physical city: soil, valves and water, moved on step by step. Pure: it knows no broker and no clock."""

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
    """What is really there. The devices look at it and turn its valves; nobody else may."""

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
        """Open or close a valve; whether that changed anything."""
        if opened == (valve in self.opened):
            return False
        if opened:
            self.opened[valve] = self.now
        else:
            del self.opened[valve]
        return True

    def advance(self, step: timedelta = STEP) -> list[str]:
        """Let time pass; the valves that stopped themselves for safety."""
        for zone in self.city.zones:
            self.moisture[zone.id] = self.grown(zone, step)
        self.now += step
        overdue = [valve for valve, since in self.opened.items() if self.now - since >= SAFETY_STOP]
        for valve in overdue:
            self.turn(valve, opened=False)
        return overdue

    def grown(self, zone: Zone, step: timedelta) -> float:
        """One zone's moisture after a step; its meter counts what the valve lets through."""
        minutes = step / timedelta(minutes=1) if zone.valve in self.opened else 0.0
        self.open_minutes[zone.valve] += minutes
        self.litres[zone.meter] += minutes * zone.flow
        poured = minutes * zone.poured_mm
        return next_moisture(
            self.moisture[zone.id], step / timedelta(hours=1), self.weather, zone.crop, poured
        )

    def readings(self, zone: Zone) -> dict[str, float]:
        """What the probes of a zone report: the truth, a little beside it."""
        sides = (-DRIER_SIDE, DRIER_SIDE)
        return {
            probe: round(self.moisture[zone.id] + side + self.random.uniform(-SENSOR_NOISE, SENSOR_NOISE), 3)
            for probe, side in zip(zone.probes, sides, strict=True)
        }

    def soil_temperature(self) -> float:
        return round(12 + 0.4 * self.weather.temperature, 1)

    def free_spots(self, spots: int) -> int:
        """How many spots of a car park are free: few at noon, most at night."""
        hour = local_hour(self.now)
        busy = 0.85 if 9 <= hour < 19 else 0.45 if 7 <= hour < 22 else 0.15
        return round(spots * (1 - busy * self.random.uniform(0.85, 1.1)))
