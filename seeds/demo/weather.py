"""A believable July week in Picardie: hot from Monday, a storm on Thursday, cooler after it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from seeds.demo.clock import START, local_hour

SUNRISE, SUNSET = 6.0, 21.9  # hours, local time
CLEAR_NOON = 820.0  # W/m² at the height of a clear day


@dataclass(frozen=True)
class Day:
    """The weather of one day. Rain falls evenly between two hours."""

    low: float
    high: float
    sun: float  # the share of a clear sky's radiation
    rain: float = 0.0  # mm in all
    rain_from: int = 0
    rain_to: int = 0


WEEK = (
    Day(14, 26, 0.95),
    Day(15, 28, 1.00),
    Day(17, 31, 0.95),
    Day(17, 24, 0.45, rain=12.0, rain_from=14, rain_to=18),
    Day(13, 22, 0.65),
    Day(13, 26, 0.95),
    Day(15, 28, 1.00),
)


@dataclass(frozen=True)
class Weather:
    """The readings of a weather station at one time."""

    temperature: float  # °C
    humidity: float  # parts per one
    rain: float  # mm per hour
    wind: float  # m/s
    radiation: float  # W/m²


def day_of(when: datetime) -> Day:
    """The day of the week that a time falls on; the week repeats after seven days."""
    return WEEK[(when - START).days % len(WEEK)]


def daylight(hour: float) -> float:
    """The strength of the sun: 0 at sunrise, 1 at noon, 0 at sunset."""
    return max(0.0, math.sin(math.pi * (hour - SUNRISE) / (SUNSET - SUNRISE)))


def rain_at(when: datetime) -> float:
    """The rain at a time, in millimetres per hour."""
    day, hour = day_of(when), local_hour(when)
    return day.rain / (day.rain_to - day.rain_from) if day.rain_from <= hour < day.rain_to else 0.0


def weather_at(when: datetime) -> Weather:
    """The weather at a time; it is deterministic."""
    day, hour = day_of(when), local_hour(when)
    warmth = (1 - math.cos(2 * math.pi * (hour - 4) / 24)) / 2  # coldest at 4, warmest at 16
    rain = rain_at(when)
    return Weather(
        temperature=round(day.low + (day.high - day.low) * warmth, 1),
        humidity=0.95 if rain else round(0.85 - 0.45 * warmth * day.sun, 2),
        rain=rain,
        wind=round(1.5 + 2.5 * daylight(hour) + (3 if rain else 0), 1),
        radiation=round(CLEAR_NOON * day.sun * daylight(hour), 0),
    )


def chance_of_rain(when: datetime, hours: int = 18) -> float:
    """The forecast for the hours ahead: 0.8 if rain will fall, otherwise 0.1."""
    ahead = (rain_at(when + timedelta(hours=hour)) for hour in range(hours + 1))
    return 0.8 if any(ahead) else 0.1
