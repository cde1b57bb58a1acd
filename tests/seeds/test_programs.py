"""The app's decisions, what it writes back, and how the report reads history; no broker needed."""

from __future__ import annotations

import asyncio
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from seeds.demo import loader, report
from seeds.demo.client import BrokerError, Client, Reply, observed
from seeds.demo.clock import START, stamp
from seeds.demo.dashboard import Dashboard, Row
from seeds.demo.devices import Devices
from seeds.demo.irrigation import Decision, Irrigation, Sky, decide
from seeds.demo.listener import Listener
from seeds.demo.story import alongside
from seeds.demo.world import World
from tests.seeds.test_simulation import CITY

NIGHT, NOON = START + timedelta(hours=23), START + timedelta(hours=12)
ZONE, VALVE = "urn:ngsi-ld:AgriParcel:1", "urn:ngsi-ld:Device:1"


class Recorder(Client):
    """A client that sends nothing: it answers from a list and keeps what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, Any, Any]] = []

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: dict[str, str | int] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Reply:
        self.asked.append((method, path, body, params))
        return self.replies.pop(0) if self.replies else Reply(204, {}, None)


class Scripted(Client):
    """A client whose requests never leave, below the level of errors and retries."""

    def __init__(self, *statuses: int, body: Any = None) -> None:
        self.replies = [Reply(status, {"Retry-After": "0"}, body) for status in statuses]

    async def once(self, method: str, path: str, body: Any, params: Any) -> Reply:
        return self.replies.pop(0)


def probe(moisture: float, when: datetime) -> dict[str, Any]:
    return {
        "id": "urn:ngsi-ld:Device:Probe",
        "refGreenspace": {"type": "Relationship", "object": ZONE},
        "soilMoistureVwc": observed(moisture, when),
    }


def app(client: Client) -> Irrigation:
    irrigation = Irrigation(client)
    irrigation.valves, irrigation.commands = {ZONE: VALVE}, {VALVE: "close"}
    return irrigation


@pytest.mark.parametrize(
    ("moisture", "when", "sky", "decision"),
    [
        (0.19, NIGHT, Sky(), Decision.OPEN),
        (0.19, NOON, Sky(), Decision.WAIT_FOR_NIGHT),
        (0.15, NOON, Sky(), Decision.OPEN),
        (0.19, NIGHT, Sky(chance=0.8), Decision.WAIT_FOR_RAIN),
        (0.15, NIGHT, Sky(chance=0.8), Decision.OPEN),
        (0.15, NIGHT, Sky(rain=1.0), Decision.WAIT_FOR_RAIN),
    ],
)
def test_when_a_dry_zone_is_watered(moisture: float, when: datetime, sky: Sky, decision: Decision) -> None:
    assert decide(moisture, when, sky) is decision


async def test_dry_soil_opens_the_valve_once_and_wet_soil_closes_it() -> None:
    client = Recorder()
    irrigation = app(client)
    for moisture in (0.19, 0.185, 0.24, 0.28, 0.29):
        await irrigation.react(probe(moisture, NIGHT))
    commands = [
        body["value"] for _, path, body, _ in client.asked if path == f"/entities/{VALVE}/attrs/command"
    ]
    assert commands == ["open", "close"]
    assert [path for method, path, _, _ in client.asked if method == "POST"] == [f"/entities/{ZONE}/attrs"]


async def test_a_zone_that_waits_is_counted_once_and_written_nowhere() -> None:
    client = Recorder()
    irrigation = app(client)
    await irrigation.react({"precipitationProbability": observed(0.8, NIGHT)})
    for _ in range(3):
        await irrigation.react(probe(0.19, NIGHT))
    assert irrigation.decisions == {Decision.WAIT_FOR_RAIN: 1}
    assert not client.asked


async def test_the_app_learns_the_valves_from_the_broker() -> None:
    valve = {"id": VALVE, "controlledAsset": {"object": ZONE}, "command": {"value": "open"}}
    irrigation = Irrigation(Recorder(Reply(200, {}, [valve])))
    await irrigation.learn()
    assert (irrigation.valves, irrigation.commands) == ({ZONE: VALVE}, {VALVE: "open"})


async def at_once(_: datetime) -> None:
    """The news is heard without delay."""


async def test_the_fast_motion_waits_until_the_weather_was_heard() -> None:
    irrigation = app(Recorder())
    waiting = asyncio.create_task(irrigation.heard(NOON))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await irrigation.react({"precipitation": observed(0, NOON)})
    await asyncio.wait_for(waiting, 0.5)


async def test_devices_report_by_batches_and_by_single_updates() -> None:
    client = Recorder()
    devices = Devices(client, World(CITY, START))
    await devices.replay(START + timedelta(hours=1), seconds=0, heard=at_once)
    batches = [body for method, path, body, _ in client.asked if path == "/entityOperations/upsert"]
    assert [len(batch) for batch in batches[:6]] == [10, 8, 4, 4, 6, 8]
    assert {method for method, path, _, _ in client.asked if "/attrs" in path} == {"PATCH"}
    soil = [
        entity["soilMoistureVwc"]["observedAt"]
        for batch in batches
        for entity in batch
        if "soilMoistureVwc" in entity
    ]
    assert len(soil) == 4 * 40
    assert soil[-1] == stamp(START + timedelta(hours=1)) == "2026-07-05T23:00:00Z"


async def test_a_command_turns_the_valve_and_is_confirmed() -> None:
    client, world = Recorder(), World(CITY, START)
    valve = CITY.zones[0].valve
    await Devices(client, world).turn(valve, opened=True)
    assert valve in world.opened
    assert client.asked == [("PATCH", f"/entities/{valve}/attrs/deviceState", observed("open", START), None)]


def meter_page(status: int, *hours: int) -> Reply:
    values = [[hour * 10, stamp(START + timedelta(hours=hour))] for hour in hours]
    return Reply(status, {}, {"waterConsumption": {"type": "Property", "values": values}})


async def test_history_is_read_to_its_end_when_it_comes_in_parts() -> None:
    client = Recorder(meter_page(206, 0, 1, 2), meter_page(206, 2, 3, 4), meter_page(200, 4, 5))
    end = START + timedelta(days=1)
    series = await report.evolution(client, "urn:x", "waterConsumption", START, end)
    assert list(series.values()) == [0, 10, 20, 30, 40, 50]
    assert [params["timeAt"] for _, _, _, params in client.asked][1:] == [
        "2026-07-06T00:00:00Z",
        "2026-07-06T02:00:00Z",
    ]


async def test_history_that_does_not_go_on_is_no_endless_loop() -> None:
    client = Recorder(*[meter_page(206, 0, 1)] * 3)
    assert len(await report.evolution(client, "urn:x", "waterConsumption", START, NIGHT)) == 2
    assert len(client.asked) == 2


def test_a_meter_is_read_day_by_day() -> None:
    readings = {
        START + timedelta(hours=hour): value for hour, value in ((0, 5.0), (10, 25.0), (24, 30.0), (40, 90.0))
    }
    assert report.by_day(readings, START, 3) == [25.0, 60.0, 0.0]


def test_the_report_names_every_park_and_the_sum() -> None:
    out = Console(file=io.StringIO(), width=80)
    usages = [report.Usage(park, [1000.0, 0.0], 4000.0) for park in CITY.parks.values()]
    report.print_report(out, usages, START)
    assert isinstance(out.file, io.StringIO)
    printed = out.file.getvalue()
    assert all(park in printed for park in CITY.parks.values())
    assert "6.0 m³" in printed
    assert "75%" in printed
    assert "…" not in printed


def a_dashboard(console: Console) -> Dashboard:
    client = Recorder()
    devices = Devices(client, World(CITY, START))
    return Dashboard(client, CITY, devices, Irrigation(client), (Listener(received=7),), 96, console)


def test_the_table_shows_every_park() -> None:
    out = Console(file=io.StringIO(), width=80)
    rows = dict.fromkeys(CITY.parks, Row(moisture=[0.17, 0.33], open_valves=2, litres=1_234_500.0))
    out.print(a_dashboard(out).picture(rows, 21.0))
    assert isinstance(out.file, io.StringIO)
    printed = " ".join(out.file.getvalue().split())
    assert all(park in printed for park in CITY.parks.values())
    assert printed.count("2 open 1,234.5 m³") == 6
    assert "7 notifications" in printed


def test_a_plain_line_sums_the_parks_up() -> None:
    rows = dict.fromkeys(CITY.parks, Row(moisture=[0.17, 0.33], open_valves=2, litres=1000.0))
    line = a_dashboard(Console()).line(rows, 21.0)
    assert line.startswith("Mon 06 Jul 00:00   21 °C  soil 17% to 33%  12 valves open     6.0 m³")


async def test_the_rows_come_from_the_brokers_answers() -> None:
    park = next(iter(CITY.parks))
    soil, valves, meters = (
        [{"id": "a", "soilMoistureVwc": 0.2, "isPartOf": p} for p in CITY.parks],
        [{"id": "b", "isPartOf": park}],
        [{"id": "c", "waterConsumption": 12, "isPartOf": park}],
    )
    dashboard = a_dashboard(Console())
    dashboard.client = Recorder(*(Reply(200, {}, body) for body in (soil, valves, meters)))
    rows = await dashboard.rows()
    assert rows[park] == Row([0.2], 1, 12)
    assert sum(row.open_valves for row in rows.values()) == 1


def test_the_seeds_are_loaded_a_hundred_at_a_time() -> None:
    assert [len(batch) for batch in loader.batches(CITY.entities)] == [100, 33]


async def test_a_failing_program_ends_the_story_and_the_others_with_it() -> None:
    async def fail() -> None:
        raise BrokerError("no")

    with pytest.raises(BrokerError):
        await alongside(asyncio.sleep(60), fail())
    await asyncio.wait_for(alongside(asyncio.sleep(0), asyncio.sleep(60)), 1)


async def test_a_busy_broker_is_asked_again() -> None:
    assert (await Scripted(503, 503, 204).post("/entities", {})).status == 204
    with pytest.raises(BrokerError, match="503"):
        await Scripted(*[503] * 5).post("/entities", {})


@pytest.mark.parametrize("status", [207, 400, 500])
async def test_a_refusal_is_an_error_in_one_sentence(status: int) -> None:
    with pytest.raises(BrokerError, match=f"answered {status} to POST /x: Bad; really"):
        await Scripted(status, body={"title": "Bad", "detail": "really"}).post("/x", {})


async def test_what_is_not_there_needs_no_forgetting() -> None:
    await Scripted(404).forget("/subscriptions/urn:x")
