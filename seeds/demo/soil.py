"""The soil of a zone, as a bucket model of the root depth. Pure.

Moisture is the volumetric water content, in parts per one, as the sensors report it.
"""

from __future__ import annotations

from seeds.demo.weather import Weather

ROOT_DEPTH_MM = 150.0
FIELD_CAPACITY = 0.32  # above it, water drains away
WILTING = 0.10  # below it, plants can't draw any more
STRESSED = 0.18  # below it, they begin to save water
DRAINED_PER_HOUR = 0.25  # the share of the excess that is lost in an hour


def evapotranspiration(weather: Weather, crop: float) -> float:
    """Evaporation in millimetres per hour, by Makkink's formula."""
    heat = min(0.85, 0.42 + 0.0125 * weather.temperature)  # the share of radiation that evaporates water
    megajoules = weather.radiation * 0.0036
    return 0.61 * heat * megajoules / 2.45 * crop


def stress(moisture: float) -> float:
    """The factor of the plants' water uptake: 1 in moist soil, 0 at the wilting point."""
    return min(1.0, max(0.0, (moisture - WILTING) / (STRESSED - WILTING)))


def next_moisture(moisture: float, hours: float, weather: Weather, crop: float, watered_mm: float) -> float:
    """The moisture after `hours` of this weather and `watered_mm` millimetres from the sprinklers."""
    lost = evapotranspiration(weather, crop) * hours * stress(moisture)
    wetter = moisture + (weather.rain * hours + watered_mm - lost) / ROOT_DEPTH_MM
    excess = max(0.0, wetter - FIELD_CAPACITY)
    drained: float = 1 - (1 - DRAINED_PER_HOUR) ** hours
    return wetter - excess * drained
