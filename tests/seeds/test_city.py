"""The seeds are a whole and well-formed city."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from seeds import generate
from seeds.demo import city
from seeds.demo.clock import START

CITY = city.load()
BOX = (3.24, 49.82, 3.33, 49.88)  # Saint-Quentin: west, south, east, north
DEPARTMENTS = {"Parks", "Water", "Weather", "Lighting", "Parking"}
SCOPE = re.compile(r"(/[A-Za-z][A-Za-z0-9_]*)+")
UNITS = {"C62", "CEL", "D54", "L2", "LTR", "MIN", "MMT", "MTK", "MTR", "MTS", "WTT"}
CORE_MEMBERS = {"id", "type", "scope"}
MEMBER = {
    "Property": "value",
    "Relationship": "object",
    "GeoProperty": "value",
    "LanguageProperty": "languageMap",
}


def every_attribute() -> Iterator[tuple[str, dict[str, Any]]]:
    for entity in CITY.entities:
        yield from ((name, value) for name, value in entity.items() if name not in CORE_MEMBERS)


def positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    if isinstance(coordinates[0], float):
        yield coordinates[0], coordinates[1]
    else:
        for part in coordinates:
            yield from positions(part)


def test_the_files_are_what_the_generator_writes() -> None:
    for name, make in generate.FILES.items():
        assert (generate.SEEDS / f"{name}.json").read_text(encoding="utf-8") == generate.text(make())
    assert {file.stem for file in generate.SEEDS.glob("*.json")} == set(generate.FILES)


def test_a_city_of_the_promised_size() -> None:
    kinds = Counter(
        kind for e in CITY.entities for kind in (e["type"] if isinstance(e["type"], list) else [e["type"]])
    )
    assert kinds == {
        "Garden": 6,
        "AgriParcel": 20,
        "Device": 66,
        "GreenspaceRecord": 40,
        "WaterConsumptionObserved": 6,
        "WeatherObserved": 1,
        "WeatherForecast": 1,
        "StreetlightGroup": 5,
        "Streetlight": 30,
        "OffStreetParking": 4,
    }


def test_ids_are_unique() -> None:
    assert max(Counter(entity["id"] for entity in CITY.entities).values()) == 1


def test_entities_have_a_type_an_urn_and_scopes() -> None:
    for entity in CITY.entities:
        assert entity["type"]
        assert re.fullmatch(r"urn:ngsi-ld:[A-Za-z]+:SaintQuentin(:[A-Za-z0-9]+)+", entity["id"])
        scopes = [entity["scope"]] if isinstance(entity["scope"], str) else entity["scope"]
        assert all(SCOPE.fullmatch(scope) and scope.split("/")[2] in DEPARTMENTS for scope in scopes)


def test_attributes_are_normalized() -> None:
    for name, attribute in every_attribute():
        assert re.fullmatch(r"[a-z][A-Za-z]*", name)
        assert name not in {"value", "object", "observedAt", "status", "title"}, "the core context's own"
        assert MEMBER[attribute["type"]] in attribute
        assert attribute.get("unitCode", "C62") in UNITS
        assert datetime.fromisoformat(attribute.get("observedAt", generate.START)) == START


def test_relationships_lead_to_entities_of_the_city() -> None:
    known = {entity["id"] for entity in CITY.entities}
    targets = {each["object"] for _, each in every_attribute() if each["type"] == "Relationship"}
    assert targets <= known


def test_everything_lies_in_saint_quentin() -> None:
    west, south, east, north = BOX
    for entity in CITY.entities:
        for longitude, latitude in positions(entity["location"]["value"]["coordinates"]):
            assert west < longitude < east, entity["id"]
            assert south < latitude < north, entity["id"]


def test_polygons_are_closed() -> None:
    for parcel in city.of_type(CITY.entities, "AgriParcel"):
        (ring,) = parcel["location"]["value"]["coordinates"]
        assert ring[0] == ring[-1]


def test_every_zone_has_a_valve_a_meter_and_two_probes() -> None:
    assert len({zone.valve for zone in CITY.zones}) == len(CITY.zones) == 20
    assert {zone.park for zone in CITY.zones} == set(CITY.parks)
    assert all(len(zone.probes) == 2 for zone in CITY.zones)
    assert {probe for zone in CITY.zones for probe in zone.probes} == {
        entity["id"] for entity in city.of_type(CITY.entities, "GreenspaceRecord")
    }


def test_zones_of_a_park_do_not_lie_on_each_other() -> None:
    corners = {
        parcel["id"]: list(positions(parcel["location"]["value"]["coordinates"]))
        for parcel in city.of_type(CITY.entities, "AgriParcel")
    }
    boxes = {
        i: (min(c)[0], min(y for _, y in c), max(c)[0], max(y for _, y in c)) for i, c in corners.items()
    }
    for one, (west, south, east, north) in boxes.items():
        for other, box in boxes.items():
            apart = east <= box[0] or box[2] <= west or north <= box[1] or box[3] <= south
            assert one == other or apart, f"{one} lies on {other}"


def test_the_programs_import_nothing_of_the_broker() -> None:
    for file in Path(city.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "broker" for name in names), file


def test_the_files_are_plain_json_without_a_context() -> None:
    for file in city.SEEDS.glob("*.json"):
        assert all("@context" not in entity for entity in json.loads(file.read_text(encoding="utf-8")))
