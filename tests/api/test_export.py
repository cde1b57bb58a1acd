"""History exported from the command line, and read by others."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from broker.__main__ import app
from tests.api.conftest import Api


def at(minute: int) -> str:
    return f"2020-09-01T12:{minute:02}:00Z"


def speed(value: Any, minute: int, **more: Any) -> dict[str, Any]:
    return {"type": "Property", "value": value, "observedAt": at(minute), **more}


async def exported(mongo_uri: str, api: Api, file: Path, *options: str) -> Result:
    arguments = ["export", str(file), "--tenant", api.tenant["NGSILD-Tenant"], *options]
    env = {"BROKER_MONGO_URI": mongo_uri, "BROKER_DATABASE": "api", "NO_COLOR": "1", "COLUMNS": "200"}
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)


@pytest.fixture
async def past(api: Api) -> Api:
    """A tenant with the past of two entities, of which one is there no more."""
    await api.make({"id": "urn:v:1", "type": "Bus", "speed": speed(1, 1, unitCode="KMH"), "scope": "/A"})
    await api("PATCH", "entities/urn:v:1/attrs/speed", speed("fast", 2))
    await api("DELETE", "entities/urn:v:1")
    doc = {"id": "urn:v:2", "type": "Car", "speed": [speed(3.5, 1), speed(4, 2, datasetId="urn:d:1")]}
    doc["https://ex.org/owner"] = [{"type": "Relationship", "object": "urn:p:1", "since": speed(1, 1)}]
    assert (await api("POST", "temporal/entities", doc)).status == 201
    return api


async def test_ndjson_is_taken_back_by_a_broker(past: Api, mongo_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "past.ndjson"
    result = await exported(mongo_uri, past, file)
    assert (result.exit_code, result.stderr) == (0, f"8 instances in {file}\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 8
    assert lines[0].keys() == {"id", "type", "scope"}
    other = Api(past._http, past.root, {"NGSILD-Tenant": past.tenant["NGSILD-Tenant"] + "x"})
    for line in lines:
        assert (await other("POST", "temporal/entities", line)).status in (201, 204), line
    for entity in ("urn:v:1", "urn:v:2"):
        assert _without_ids(await other.get(f"temporal/entities/{entity}")) == _without_ids(
            await past.get(f"temporal/entities/{entity}")
        )


def _without_ids(evolution: Any) -> Any:
    for many in evolution.values():
        for one in many if isinstance(many, list) else ():
            del one["instanceId"]
    return evolution


async def test_parquet_has_columns_to_select_by(past: Api, mongo_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "past.parquet"
    result = await exported(mongo_uri, past, file, "--attr", "speed", "--since", at(1), "--until", at(3))
    assert (result.exit_code, result.stderr) == (0, f"4 instances in {file}\n")
    rows = parquet.read_table(file).to_pylist()
    assert [(one["entity"], one["value"], one["number"]) for one in rows] == [
        ("urn:v:1", "1", 1.0), ("urn:v:1", '"fast"', None), ("urn:v:2", "3.5", 3.5), ("urn:v:2", "4", 4.0)
    ]  # fmt: skip
    assert rows[0]["observed_at"] == datetime(2020, 9, 1, 12, 1, tzinfo=UTC)
    assert (rows[0]["unit_code"], rows[3]["dataset_id"], rows[0]["deleted_at"]) == ("KMH", "urn:d:1", None)
    assert rows[0]["attribute"] == "https://uri.etsi.org/ngsi-ld/default-context/speed"


async def test_a_long_history_comes_in_pieces(
    api: Api, mongo_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.store.history.dump._PIECE", 3)
    many = [speed(n, n // 8 % 60, datasetId=f"urn:d:{n}") for n in range(100)]  # eight of each moment
    doc = {"id": "urn:v:1", "type": "Bus", "speed": many}
    assert (await api("POST", "temporal/entities", doc)).status == 201
    result = await exported(mongo_uri, api, tmp_path / "past.ndjson", "--type", "Bus", "--id", "urn:v:1")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "past.ndjson").read_text().splitlines()]
    assert [line["speed"][0]["value"] for line in lines] == list(range(100))


@pytest.mark.parametrize(
    ("file", "options", "said"),
    [
        ("past.csv", (), "has to end in one of .ndjson, .parquet"),
        ("past.ndjson", ("--since", "yesterday"), "--since: expected a date and time in UTC"),
        ("past.ndjson", ("--type", "("), "type"),
        ("past.ndjson", ("--tenant", "nobody"), "there is no tenant 'nobody'"),
        ("none/past.ndjson", (), "No such file or directory"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line(
    past: Api, mongo_uri: str, tmp_path: Path, file: str, options: tuple[str, ...], said: str
) -> None:
    result = await exported(mongo_uri, past, tmp_path / file, *options)
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (tmp_path / file).exists()
