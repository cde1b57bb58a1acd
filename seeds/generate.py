"""Writes `seeds/saint-quentin/*.json` from the tables in `places`: `python -m seeds.generate`.

The files are in the repository, as a city would send them to a broker. This module generates their repetitive
content from tables. It is deterministic: a test compares the files with its output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seeds.places import PARKINGS, PARKS, STREETS, Park, Point, Zone

Entity = dict[str, Any]

SEEDS = Path(__file__).parent / "saint-quentin"
CITY = "/SaintQuentin"
START = "2026-07-05T22:00:00Z"  # Monday 6 July 2026, 00:00 in Saint-Quentin
METRES_PER_DEGREE = 111_320.0
TIMER_DEPTH_MM = (
    5.0  # mm of water per day that the fixed timers pour on every zone: enough for the hottest day
)


def urn(kind: str, *names: str) -> str:
    return ":".join(["urn:ngsi-ld", kind, "SaintQuentin", *names])


def prop(value: Any, unit: str | None = None, observed: bool = False) -> Entity:
    """A normalized Property. `observed`: its observedAt is the start of the story."""
    members = {"unitCode": unit, "observedAt": START if observed else None}
    return {"type": "Property", "value": value, **{k: v for k, v in members.items() if v is not None}}


def link(target: str) -> Entity:
    return {"type": "Relationship", "object": target}


def names(french: str, english: str) -> Entity:
    return {"type": "LanguageProperty", "languageMap": {"fr": french, "en": english}}


def geo(kind: str, coordinates: Any) -> Entity:
    return {"type": "GeoProperty", "value": {"type": kind, "coordinates": coordinates}}


def address(street: str) -> Entity:
    place = {
        "streetAddress": street,
        "postalCode": "02100",
        "addressLocality": "Saint-Quentin",
        "addressCountry": "FR",
    }
    return prop(place)


def shifted(at: Point, east: float, north: float) -> Point:
    """The point that is `east` and `north` metres away from `at`."""
    degrees_east = east / (METRES_PER_DEGREE * math.cos(math.radians(at[1])))
    return round(at[0] + degrees_east, 6), round(at[1] + north / METRES_PER_DEGREE, 6)


def zone_centre(park: Park, index: int) -> Point:
    """The centre of a zone. Zones lie in a circle around the middle of their park."""
    angle, reach = 2 * math.pi * index / len(park.zones), 45.0 + math.sqrt(park.zones[index].area) / 2
    return shifted(park.at, reach * math.cos(angle), reach * math.sin(angle))


def square(centre: Point, area: int) -> Entity:
    half = math.sqrt(area) / 2
    corners = [(-half, -half), (half, -half), (half, half), (-half, half), (-half, -half)]
    return geo("Polygon", [[list(shifted(centre, east, north)) for east, north in corners]])


def rate(zone: Zone) -> float:
    """The millimetres per hour that the sprinklers of a zone pour; on pitches less than on lawns."""
    return 6.0 if zone.category == "pitch" else 12.0


def parks() -> Iterator[Entity]:
    for park in PARKS:
        yield {
            "id": urn("Garden", park.slug),
            "type": "Garden",
            "scope": f"{CITY}/Parks/{park.slug}",
            "name": prop(park.name),
            "alternateName": names(park.name, park.english),
            "category": prop(["public"]),
            "address": address(park.street),
            "location": geo("Point", list(park.at)),
        }


def zones() -> Iterator[Entity]:
    for park in PARKS:
        for index, zone in enumerate(park.zones):
            yield {
                "id": urn("AgriParcel", park.slug, zone.slug),
                "type": "AgriParcel",
                "scope": f"{CITY}/Parks/{park.slug}",
                "name": prop(zone.name),
                "category": prop(zone.category),
                "area": prop(zone.area, "MTK"),
                "cropCoefficient": prop(zone.crop, "C62"),
                "isPartOf": link(urn("Garden", park.slug)),
                "location": square(zone_centre(park, index), zone.area),
            }


def soil_sensor(park: Park, zone: Zone, centre: Point, side: str) -> Entity:
    """One of the two probes of a zone. The western one measures slightly drier soil."""
    sign, apart = (-1, -math.sqrt(zone.area) / 5) if side == "West" else (1, math.sqrt(zone.area) / 5)
    return {
        "id": urn("Device", "Soil", park.slug, zone.slug, side),
        "type": ["Device", "GreenspaceRecord"],
        "scope": f"{CITY}/Parks/{park.slug}",
        "deviceCategory": prop(["sensor"]),
        "controlledProperty": prop(["soilMoisture", "temperature"]),
        "soilMoistureVwc": prop(round(zone.moisture + sign * 0.004, 3), "C62", observed=True),
        "soilTemperature": prop(19.0, "CEL", observed=True),
        "batteryLevel": prop(0.93, "C62", observed=True),
        "depth": prop(0.1, "MTR"),
        "refGreenspace": link(urn("AgriParcel", park.slug, zone.slug)),
        "isPartOf": link(urn("Garden", park.slug)),
        "location": geo("Point", list(shifted(centre, apart, 0))),
    }


def soil_sensors() -> Iterator[Entity]:
    for park in PARKS:
        for index, zone in enumerate(park.zones):
            for side in ("West", "East"):
                yield soil_sensor(park, zone, zone_centre(park, index), side)


def valves() -> Iterator[Entity]:
    for park in PARKS:
        for index, zone in enumerate(park.zones):
            centre = zone_centre(park, index)
            yield {
                "id": urn("Device", "Valve", park.slug, zone.slug),
                "type": "Device",
                "scope": [f"{CITY}/Parks/{park.slug}", f"{CITY}/Water/{park.slug}"],
                "deviceCategory": prop(["actuator"]),
                "controlledProperty": prop(["waterFlow"]),
                "command": prop("close", observed=True),
                "deviceState": prop("closed", observed=True),
                "nominalFlow": prop(round(zone.area * rate(zone) / 60), "L2"),
                "timerMinutes": prop(round(TIMER_DEPTH_MM / rate(zone) * 60), "MIN"),
                "controlledAsset": link(urn("AgriParcel", park.slug, zone.slug)),
                "isPartOf": link(urn("Garden", park.slug)),
                "location": geo("Point", list(shifted(centre, 0, math.sqrt(zone.area) / 2))),
            }


def water_meters() -> Iterator[Entity]:
    for number, park in enumerate(PARKS, start=1):
        yield {
            "id": urn("Device", "Meter", park.slug),
            "type": ["Device", "WaterConsumptionObserved"],
            "scope": [f"{CITY}/Water/{park.slug}", f"{CITY}/Parks/{park.slug}"],
            "deviceCategory": prop(["meter"]),
            "controlledProperty": prop(["waterConsumption"]),
            "serialNumber": prop(f"SQ-W-{number:03}"),
            "waterConsumption": prop(0, "LTR", observed=True),
            "controlledAsset": link(urn("Garden", park.slug)),
            "isPartOf": link(urn("Garden", park.slug)),
            "location": geo("Point", list(shifted(park.at, -20, -20))),
        }


def weather() -> Iterator[Entity]:
    where = {"scope": f"{CITY}/Weather", "location": geo("Point", [3.3031, 49.8431])}
    yield {
        "id": urn("WeatherObserved", "ParcIsle"),
        "type": "WeatherObserved",
        "stationName": prop("Parc d'Isle"),
        "temperature": prop(16.0, "CEL", observed=True),
        "relativeHumidity": prop(0.7, "C62", observed=True),
        "precipitation": prop(0, "MMT", observed=True),
        "windSpeed": prop(2.0, "MTS", observed=True),
        "solarRadiation": prop(0, "D54", observed=True),
        **where,
    }
    yield {
        "id": urn("WeatherForecast", "ParcIsle"),
        "type": "WeatherForecast",
        "precipitationProbability": prop(0.1, "C62", observed=True),
        **where,
    }


def streetlight(slug: str, number: int, at: Point) -> Entity:
    return {
        "id": urn("Streetlight", slug, f"{number:02}"),
        "type": "Streetlight",
        "scope": f"{CITY}/Lighting/{slug}",
        "powerState": prop("on", observed=True),
        "lanternHeight": prop(8, "MTR"),
        "powerRating": prop(45, "WTT"),
        "refStreetlightGroup": link(urn("StreetlightGroup", slug)),
        "location": geo("Point", list(at)),
    }


def streetlights() -> Iterator[Entity]:
    for slug, name, start, end in STREETS:
        yield {
            "id": urn("StreetlightGroup", slug),
            "type": "StreetlightGroup",
            "scope": f"{CITY}/Lighting/{slug}",
            "name": prop(name),
            "location": geo("LineString", [list(start), list(end)]),
        }
        for number in range(6):
            east, north = ((end[axis] - start[axis]) * number / 5 for axis in (0, 1))
            yield streetlight(slug, number + 1, (round(start[0] + east, 6), round(start[1] + north, 6)))


def parkings() -> Iterator[Entity]:
    for slug, french, english, spots, at in PARKINGS:
        yield {
            "id": urn("OffStreetParking", slug),
            "type": "OffStreetParking",
            "scope": f"{CITY}/Parking/{slug}",
            "name": prop(french),
            "alternateName": names(french, english),
            "category": prop(["public", "feeCharged"]),
            "totalSpotNumber": prop(spots, "C62"),
            "availableSpotNumber": prop(spots, "C62", observed=True),
            "location": geo("Point", list(at)),
        }


FILES = {
    "parks": parks,
    "zones": zones,
    "soil-sensors": soil_sensors,
    "valves": valves,
    "water-meters": water_meters,
    "weather": weather,
    "streetlights": streetlights,
    "parkings": parkings,
}


def text(entities: Iterator[Entity]) -> str:
    """JSON with one line per attribute, which is easier to read than the layouts of `json`."""
    blocks = []
    for entity in entities:
        members = (f"    {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in entity.items())
        blocks.append("  {\n" + ",\n".join(members) + "\n  }")
    return "[\n" + ",\n".join(blocks) + "\n]\n"


def main() -> None:
    for name, entities in FILES.items():
        (SEEDS / f"{name}.json").write_text(text(entities()), encoding="utf-8")


if __name__ == "__main__":
    main()
