"""The simulated city behaves as soil, sky and water do, and always in the same way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seeds.demo import city
from seeds.demo.clock import LOCAL, START
from seeds.demo.soil import FIELD_CAPACITY, ROOT_DEPTH_MM, evapotranspiration, next_moisture
from seeds.demo.weather import WEEK, Weather, chance_of_rain, weather_at
from seeds.demo.world import SAFETY_STOP, STEP, World

NOON = weather_at(START + timedelta(hours=13))
NIGHT = weather_at(START)
RAIN = Weather(temperature=18, humidity=0.95, rain=3, wind=5, radiation=100)
CITY = city.load()
QUARTERS_A_DAY = 96

moistures = st.floats(min_value=0.1, max_value=0.4)


def world() -> World:
    return World(CITY, START)


@given(moistures)
def test_soil_dries_by_day_and_rests_at_night(moisture: float) -> None:
    assert next_moisture(moisture, 1, NOON, 1.0, 0) <= moisture
    if moisture <= FIELD_CAPACITY:
        assert next_moisture(moisture, 1, NIGHT, 1.0, 0) == moisture


@given(moistures, st.floats(min_value=0.5, max_value=10))
def test_watering_raises_the_moisture(moisture: float, watered: float) -> None:
    assert next_moisture(moisture, 1, NOON, 1.0, watered) > next_moisture(moisture, 1, NOON, 1.0, 0)


@given(moistures)
def test_rain_is_as_good_as_watering(moisture: float) -> None:
    dry = Weather(RAIN.temperature, RAIN.humidity, 0, RAIN.wind, RAIN.radiation)
    assert next_moisture(moisture, 1, RAIN, 1.0, 0) == pytest.approx(next_moisture(moisture, 1, dry, 1.0, 3))


@given(st.lists(st.sampled_from([NOON, NIGHT, RAIN]), max_size=60), moistures)
def test_moisture_stays_within_what_soil_can_hold(hours: list[Weather], moisture: float) -> None:
    for weather in hours:
        moisture = next_moisture(moisture, 1, weather, 1.15, 2.0)
    assert 0.08 < moisture < 0.5


def test_what_is_poured_is_what_the_soil_gains() -> None:
    assert next_moisture(0.2, 1, NIGHT, 1.0, 6.0) - 0.2 == pytest.approx(6.0 / ROOT_DEPTH_MM)


def test_a_hot_day_takes_some_five_millimetres() -> None:
    day = [weather_at(START + quarter * STEP) for quarter in range(QUARTERS_A_DAY)]
    assert 4 < sum(evapotranspiration(weather, 1.0) for weather in day) / 4 < 6


def test_it_rains_once_in_the_week_and_the_forecast_knows() -> None:
    fallen = {
        day: sum(weather_at(START + timedelta(days=day, hours=h)).rain for h in range(24)) for day in range(7)
    }
    assert {day for day, rain in fallen.items() if rain} == {3}
    assert fallen[3] == pytest.approx(WEEK[3].rain)
    assert chance_of_rain(START + timedelta(days=2, hours=22)) > 0.5
    assert chance_of_rain(START + timedelta(days=4)) < 0.5


def test_nights_are_dark_and_days_are_not() -> None:
    assert weather_at(START).radiation == 0
    assert weather_at(START + timedelta(hours=13)).radiation > 600
    assert START.tzinfo is LOCAL


def test_a_week_without_water_dries_every_zone_until_the_rain() -> None:
    story = world()
    before = dict(story.moisture)
    for _ in range(3 * QUARTERS_A_DAY):
        story.advance()
    dry = dict(story.moisture)
    assert all(dry[zone] < before[zone] for zone in before)
    for _ in range(QUARTERS_A_DAY):
        story.advance()
    assert all(story.moisture[zone] > dry[zone] for zone in dry)
    assert set(story.litres.values()) == {0.0}


def test_the_meters_count_what_the_valves_let_through() -> None:
    story = world()
    for number, zone in enumerate(CITY.zones):
        story.turn(zone.valve, opened=True)
        for _ in range(number % 5):
            story.advance()
        story.turn(zone.valve, opened=False)
    counted = sum(story.litres.values())
    assert counted == pytest.approx(sum(story.open_minutes[z.valve] * z.flow for z in CITY.zones))
    assert counted > 0


def test_water_goes_to_the_zone_and_the_meter_of_its_valve_alone() -> None:
    watered, dry = world(), world()
    zone = CITY.zones[0]
    watered.turn(zone.valve, opened=True)
    watered.advance()
    dry.advance()
    assert {z for z in dry.moisture if watered.moisture[z] != dry.moisture[z]} == {zone.id}
    assert {m for m in dry.litres if watered.litres[m]} == {zone.meter}
    assert watered.litres[zone.meter] == 15 * zone.flow


def test_a_valve_turns_once_and_closes_by_itself_when_forgotten() -> None:
    story, valve = world(), CITY.zones[0].valve
    assert story.turn(valve, opened=True)
    assert not story.turn(valve, opened=True)
    stopped = [story.advance() for _ in range(SAFETY_STOP // STEP)]
    assert stopped[-1] == [valve]
    assert not any(stopped[:-1])
    assert not story.opened


def test_the_same_seed_tells_the_same_story() -> None:
    def told(seed: int) -> list[dict[str, float]]:
        story = World(CITY, START, seed)
        return [story.readings(zone) for _ in range(4) for zone in CITY.zones if not story.advance()]

    assert told(1) == told(1)
    assert told(1) != told(2)


def test_probes_report_nearly_the_truth() -> None:
    story = world()
    for zone in CITY.zones:
        assert all(abs(v - story.moisture[zone.id]) < 0.01 for v in story.readings(zone).values())
