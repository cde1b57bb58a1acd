"""What operators ask."""

import pytest

from tests.api.conftest import Api, room


@pytest.mark.parametrize(
    ("path", "status"), [("/health/live", "live"), ("/health/ready", "ready"), ("/health/live/", "live")]
)
async def test_health(api: Api, path: str, status: str) -> None:
    answer = await api("GET", path)
    assert (answer.status, answer.doc) == (200, {"status": status})
    assert answer.headers["Content-Type"] == "application/json"
    wrong = await api("POST", path, {})
    assert (wrong.status, wrong.headers["Allow"], wrong.body) == (405, "GET", b"")


async def test_version(api: Api) -> None:
    found = await api.get("/version")
    assert found.keys() == {"name", "version", "specification"}
    assert found["specification"] == "ETSI GS CIM 009 V1.9.1"


async def test_metrics_name_resources_and_never_what_clients_invent(api: Api) -> None:
    await api.make(room("urn:x:secret"))
    await api("GET", "entities/urn:x:secret")
    await api("GET", "/nowhere/urn:x:secret")
    await api("PROPFIND", "entities/urn:x:secret")
    answer = await api("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.body.decode()
    assert (
        'eridanus_requests_total{method="GET",resource="/ngsi-ld/v1/entities/{entityId}",status="200"}'
        in text
    )
    assert 'method="other"' in text
    assert 'resource="unknown"' in text
    assert "secret" not in text
    assert "PROPFIND" not in text


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/other", "/ngsi-ld", "/ngsi-ld/v1", "/ngsi-ld/v2/entities"]
)
async def test_nothing_else_is_there(api: Api, path: str) -> None:
    assert (await api("GET", path)).is_problem(404, "ResourceNotFound")
