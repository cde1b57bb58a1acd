"""The seeds as tables for the devices: the probes, the valve and the meter of each zone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Entity = dict[str, Any]

SEEDS = Path(__file__).parents[1] / "saint-quentin"


@dataclass(frozen=True)
class Zone:
    """A parcel with its valve, its park's meter and its two probes."""

    id: str
    park: str
    valve: str
    meter: str
    probes: tuple[str, ...]
    area: float  # m²
    crop: float
    flow: float  # litres a minute when the valve is open
    moisture: float  # at the start

    @property
    def poured_mm(self) -> float:
        """Millimetres a minute when the valve is open (a litre on a square metre is a millimetre)."""
        return self.flow / self.area


@dataclass(frozen=True)
class City:
    """All entities of the seeds, and the tables that the programs need."""

    entities: tuple[Entity, ...]
    parks: dict[str, str]  # id → name
    zones: tuple[Zone, ...]
    lights: tuple[str, ...]
    parkings: dict[str, int]  # id → spots


def load(folder: Path = SEEDS) -> City:
    """Reads all seed files."""
    files = sorted(folder.glob("*.json"))
    entities = tuple(entity for file in files for entity in json.loads(file.read_text(encoding="utf-8")))
    return City(
        entities=entities,
        parks={e["id"]: e["name"]["value"] for e in of_type(entities, "Garden")},
        zones=tuple(zone(e, entities) for e in of_type(entities, "AgriParcel")),
        lights=tuple(e["id"] for e in of_type(entities, "Streetlight")),
        parkings={e["id"]: e["totalSpotNumber"]["value"] for e in of_type(entities, "OffStreetParking")},
    )


def of_type(entities: Iterable[Entity], name: str) -> list[Entity]:
    """The entities that have this type, alone or among others."""
    return [e for e in entities if name == e["type"] or (isinstance(e["type"], list) and name in e["type"])]


def linked(entities: Iterable[Entity], attribute: str, target: str) -> list[Entity]:
    """The entities whose relationship `attribute` points to `target`."""
    return [e for e in entities if e.get(attribute, {}).get("object") == target]


def zone(parcel: Entity, entities: tuple[Entity, ...]) -> Zone:
    """The zone of a parcel: its devices are found by the relationships that point to it."""
    park = parcel["isPartOf"]["object"]
    (valve,) = linked(entities, "controlledAsset", parcel["id"])
    (meter,) = linked(of_type(entities, "WaterConsumptionObserved"), "isPartOf", park)
    probes = linked(entities, "refGreenspace", parcel["id"])
    return Zone(
        id=parcel["id"],
        park=park,
        valve=valve["id"],
        meter=meter["id"],
        probes=tuple(probe["id"] for probe in probes),
        area=parcel["area"]["value"],
        crop=parcel["cropCoefficient"]["value"],
        flow=valve["nominalFlow"]["value"],
        moisture=sum(probe["soilMoistureVwc"]["value"] for probe in probes) / len(probes),
    )
