"""/types and /attributes (clauses 5.7.5 to 5.7.10, 6.25 to 6.28)."""

import asyncio
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.api.conftest import LD_JSON, Api, room

DEFAULT = "https://uri.etsi.org/ngsi-ld/default-context/"
CORE = "https://uri.etsi.org/ngsi-ld/"
PLACE = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [1, 2]}}


async def town(api: Api) -> None:
    """Two rooms, one of which is a hall too, and a car."""
    await api.make(
        room(heat=1, location=PLACE, scope="/a"),
        {**room("urn:x:2", heat={"object": "urn:x:1"}), "type": ["T", "Hall"]},
        {**room("urn:x:3", speed=[{"value": 1}, {"value": 2, "datasetId": "urn:d"}], heat=2), "type": "Car"},
    )


@pytest.mark.clause("5.7.5")
@pytest.mark.clause("4.5.10")
async def test_types(api: Api) -> None:
    await town(api)
    found = await api.get("types")
    assert found.pop("id").startswith("urn:ngsi-ld:EntityTypeList:")
    assert found == {"type": "EntityTypeList", "typeList": ["Car", "Hall", "T"]}
    in_ld = await api("GET", "types", headers={"Accept": LD_JSON})
    assert in_ld.doc.keys() == {*found, "id", "@context"}


@pytest.mark.clause("5.7.6")
@pytest.mark.clause("4.5.11")
async def test_types_in_detail(api: Api) -> None:
    await town(api)
    assert await api.get("types?details=true") == [
        _type("Car", ["heat", "speed"]),
        _type("Hall", ["heat"]),
        _type("T", ["heat", "location"]),
    ]


def _type(name: str, attrs: list[str]) -> dict[str, object]:
    return {"id": DEFAULT + name, "type": "EntityType", "typeName": name, "attributeNames": attrs}


@pytest.mark.clause("5.7.7")
@pytest.mark.clause("4.5.12")
async def test_one_type(api: Api) -> None:
    await town(api)
    found = await api.get("types/T")
    assert found == await api.get("types/" + quote(DEFAULT + "T", safe=""))
    assert found.pop("attributeDetails") == [
        _attribute("heat", DEFAULT, attributeTypes=["Property", "Relationship"]),
        _attribute("location", CORE, attributeTypes=["GeoProperty"]),
    ]
    assert found == {"id": DEFAULT + "T", "type": "EntityTypeInfo", "typeName": "T", "entityCount": 2}
    assert (await api("GET", "types/Nothing")).is_problem(404, "ResourceNotFound")


def _attribute(name: str, vocabulary: str = DEFAULT, /, **members: object) -> dict[str, object]:
    return {"id": vocabulary + name, "type": "Attribute", "attributeName": name, **members}


@pytest.mark.clause("5.7.8")
@pytest.mark.clause("5.7.9")
@pytest.mark.clause("4.5.13")
@pytest.mark.clause("4.5.14")
async def test_attributes(api: Api) -> None:
    await town(api)
    found = await api.get("attributes")
    assert found.pop("id").startswith("urn:ngsi-ld:AttributeList:")
    assert found == {"type": "AttributeList", "attributeList": ["heat", "location", "speed"]}
    assert await api.get("attributes?details=true") == [
        _attribute("heat", typeNames=["Car", "Hall", "T"]),
        _attribute("speed", typeNames=["Car"]),
        _attribute("location", CORE, typeNames=["T"]),
    ]


@pytest.mark.clause("5.7.10")
@pytest.mark.clause("4.5.15")
async def test_one_attribute(api: Api) -> None:
    await town(api)
    assert await api.get("attributes/heat") == _attribute(
        "heat",
        attributeCount=3,
        attributeTypes=["Property", "Relationship"],
        typeNames=["Car", "Hall", "T"],
    )
    speed = _attribute("speed", attributeCount=2, attributeTypes=["Property"], typeNames=["Car"])
    assert await api.get("attributes/" + quote(DEFAULT + "speed", safe="")) == speed
    for name in ("nothing", "id", "type", "scope", "createdAt", "modifiedAt"):
        assert (await api("GET", f"attributes/{name}")).is_problem(404, "ResourceNotFound")


async def test_what_is_written_is_seen_and_what_is_gone_is_not(api: Api) -> None:
    await api.make(room(heat=1), room("urn:x:2"))
    assert (await api.get("attributes"))["attributeList"] == ["heat"]
    await api("POST", "entities/urn:x:2/attrs", {"light": 1})
    assert (await api.get("attributes"))["attributeList"] == ["heat", "light"]
    await api("POST", "entities/urn:x:1/attrs", {"heat": {"object": "urn:x:2"}})
    assert (await api.get("attributes/heat"))["attributeTypes"] == ["Relationship"]
    await api("POST", "entities/urn:x:1/attrs", {"heat": {"object": "urn:x:1", "datasetId": "urn:d"}})
    assert (await api.get("attributes/heat"))["attributeCount"] == 2
    await api("POST", "entities/urn:x:1/attrs", {"type": "Hall"})
    assert (await api.get("types"))["typeList"] == ["Hall", "T"]
    assert (await api.get("types/Hall"))["entityCount"] == 1
    await api("DELETE", "entities/urn:x:1/attrs/heat?deleteAll=true")
    assert (await api("GET", "attributes/heat")).is_problem(404, "ResourceNotFound")
    await api("DELETE", "entities/urn:x:1")
    await api("DELETE", "entities/urn:x:2")
    assert (await api.get("types"))["typeList"] == []
    assert await api.get("types?details=true") == await api.get("attributes?details=true") == []


@pytest.mark.clause("4.22")
async def test_what_has_expired_does_not_count(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat().replace("+00:00", "Z")
    await api.make(
        room(heat=1, light={"value": 1, "expiresAt": soon}),
        room("urn:x:2", heat=1, expiresAt=soon),
        {**room("urn:x:3", expiresAt=soon), "type": "Ghost"},
    )
    await api.make(room("urn:x:4", expiresAt="2100-01-01T00:00:00Z"))
    await asyncio.sleep(0.6)
    assert (await api.get("types"))["typeList"] == ["T"]
    assert (await api.get("types/T"))["entityCount"] == 2
    assert (await api.get("attributes"))["attributeList"] == ["heat"]
    assert (await api("GET", "attributes/light")).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("6.3.20")
async def test_parameters_and_tenants(api: Api) -> None:
    for path in ("types", "types/T", "attributes", "attributes/heat"):
        assert (await api("GET", path)).is_problem(404, "NonexistentTenant")
    await api.make(room())
    for path in ("types?limit=5", "types/T?details=true", "attributes?limit=5", "attributes/a?details=true"):
        assert (await api("GET", path)).is_problem(400, "InvalidRequest")
    assert (await api("GET", "types?details=yes")).is_problem(400, "BadRequestData")
    assert (await api("GET", "types?local=true")).status == 200
