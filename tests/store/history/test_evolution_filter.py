"""Queries on the instances in a window, in a real MongoDB, beside the clause read plainly (5.7.4.4)."""

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Entity, Instance, Json, instant
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang import geo, q, scope
from broker.core.lang.match import is_placed, matches
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.temporal import SCOPE, Evolution, TemporalQuery, Window
from tests.store.histories import BASE, Model, Store, Written, at, latest, numbers, open_store

NAMES = ("https://ex.org/a", "https://ex.org/b.c", "https://ex.org/d")
TERMS = (
    "a>3", "a>1;a<4", "a==2|b>3", "!a;b>1", "!d", "d", "a!=2", "a==1..3", "a==1,4", '(a>3|b<2);d~="x"',
    "a.unit", 'a.unitCode=="M"', "b.observedAt>={now}", "a.modifiedAt>={now};b", "!a.createdAt|d",
    'a.datasetId=="urn:d:1"', "(!b|a>2);(d|a<4)", "a.createdAt<{now}|!d", "createdAt>{now}",
)  # fmt: skip


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with open_store(mongo_uri, "judging", 100) as store:
        yield store


@settings(max_examples=12)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.4.4")
async def test_a_query_is_judged_on_the_instances_in_the_window(store: Store, seed: int) -> None:
    r = Random(seed)
    model = _some_history(r, NAMES, _some_instance)
    await store.write(model, r)
    for _ in range(8):
        query = _some_query(r, model)
        found = await store.temporal.evolutions("", query)
        assert [_told(one) for one in found] == _expected(model, query)
        assert await store.temporal.count("", query) == len(found)


def _some_history(r: Random, names: tuple[str, ...], some: Callable[[Random, str], Instance]) -> Model:
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}")
    for n in range(r.randint(1, 5)):
        entity = f"urn:x:{number}:{n}"
        model.entities[entity] = r.sample(names, r.randint(1, len(names)))
        for name in model.entities[entity]:
            for stamp in r.sample(range(60), r.randint(0, 6)):
                one = some(r, name)
                if name == SCOPE:  # they are observed when they are set
                    known = "observedAt" if one["value"] else "deletedAt"
                    one[known] = instant.of_micros(BASE + stamp * 1_000_000)
                model.written.append(Written(entity, name, one, BASE + stamp * 1_000_000, one["value"]))
    return model


def _some_instance(r: Random, name: str) -> Instance:
    value: Any = r.choice("xyz") if name == NAMES[2] else r.randint(0, 5)
    one: Instance = {"type": "Property", "value": value, "observedAt": at(r.randint(0, 59))}
    if r.random() < 0.2:
        one["datasetId"] = "urn:d:1"
    if r.random() < 0.2:
        one["unitCode"] = r.choice("MK")
    if r.random() < 0.2:
        one["attrs"] = {"https://ex.org/unit": [{"type": "Property", "value": 1}]}
    return one


def _some_query(r: Random, model: Model) -> TemporalQuery:
    text = r.choice(TERMS).replace("{now}", at(r.randint(0, 59)) + "Z")
    names = {"a": NAMES[0], "b": NAMES[1], "d": NAMES[2], "unit": "https://ex.org/unit"}
    attrs = tuple(r.sample(NAMES, 2)) if r.random() < 0.3 else ()
    entities = Query(
        TypeSelection(((model.type,),)), attrs=attrs, q=q.parse(text, lambda name: names.get(name, name))
    )
    name = r.choice(("observedAt", "observedAt", "createdAt"))
    return TemporalQuery(entities, Window("between", at(r.randint(0, 30)), at(r.randint(31, 60)), name))


def _expected(model: Model, query: TemporalQuery) -> list[tuple[str, dict[str, list[Any]]]]:
    found = []
    condition, window = query.entities.q, query.window
    assert condition is not None
    assert window is not None
    low, high = window.bounds
    for entity in sorted(model.entities):
        there: dict[str, list[Written]] = {}
        for one in sorted(model.written, key=lambda one: (one.of(window.timeproperty), one.stamp)):
            time = one.of(window.timeproperty)
            if one.entity == entity and time is not None and (low or 0) <= time < (high or 0):
                there.setdefault(one.name, []).append(one)
        if not matches(condition, _entity(there)):
            continue
        kept = {
            name: [one.value for one in there[name]]
            for name in query.entities.attrs or NAMES
            if name in there
        }
        if kept:
            found.append((entity, kept))
    return found


def _entity(there: dict[str, list[Written]]) -> Entity:
    attrs = {name: [_stamped(one) for one in many] for name, many in there.items()}
    return {"id": "", "type": [], "createdAt": "2026-07-01T12:00:00", "modifiedAt": "", "attrs": attrs}


def _stamped(one: Written) -> Instance:
    time = instant.of_micros(one.stamp)
    return {**one.instance, "createdAt": time, "modifiedAt": time}


def _told(found: Evolution) -> tuple[str, dict[str, list[Any]]]:
    return found.id, {name: [one["value"] for one in many] for name, many in found.attrs.items()}


PLACES = ("https://ex.org/spot", NGSI_LD + "location")


@settings(max_examples=8)
@given(st.integers(0, 2**32))
@pytest.mark.clause("5.7.4.4")
async def test_a_geoquery_is_judged_on_the_instances_in_the_window(store: Store, seed: int) -> None:
    r = Random(seed)
    model = _some_history(r, PLACES, _some_place)
    await store.write(model, r)
    for _ in range(5):
        window = Window("between", at(r.randint(0, 30)), at(r.randint(31, 60)))
        asked = geo.parse(_some_area(r), lambda name: PLACES[name == "location"])
        query = TemporalQuery(Query(TypeSelection(((model.type,),)), geo=asked), window)
        expected = [
            entity
            for entity in sorted(model.entities)
            if is_placed(asked, {asked.property: [one.instance for one in _within(model, entity, query)]})
        ]
        found = await store.temporal.evolutions("", query)
        assert [one.id for one in found] == expected
        for one in found:
            assert len(_within(model, one.id, query)) == len(one.attrs[asked.property])


def _some_place(r: Random, name: str) -> Instance:
    spot = {"type": "Point", "coordinates": [r.randint(0, 4), r.randint(0, 4)]}
    kind = "GeoProperty" if r.random() < 0.9 else "Property"
    return {"type": kind, "value": spot, "observedAt": at(r.randint(0, 59))}


def _some_area(r: Random) -> dict[str, Json]:
    west, south = r.randint(0, 3), r.randint(0, 3)
    east, north = west + 1.5, south + 1.5
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    area = r.choice((("within", "Polygon", [ring]), ("near;maxDistance==120000", "Point", ring[0]),
                     ("disjoint", "Polygon", [ring])))  # fmt: skip
    named = {"geoproperty": r.choice(("location", "spot"))}
    return dict(zip(geo.MEMBERS, area, strict=True)) | named


def _within(model: Model, entity: str, query: TemporalQuery) -> list[Written]:
    assert query.window is not None
    assert query.entities.geo is not None
    low, high = query.window.bounds
    named = (one for one in model.written if (one.entity, one.name) == (entity, query.entities.geo.property))
    return [one for one in named if (low or 0) <= one.time < (high or 0)]


async def test_a_place_may_be_far_back_in_a_long_history(store: Store) -> None:
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}", {f"urn:x:{number}:{n}": [PLACES[0]] for n in range(3)})
    for n, entity in enumerate(model.entities):
        for second in range(50):
            spot = {"type": "Point", "coordinates": [9, 9] if second == 49 and n != 1 else [1, 1]}
            one = {"type": "GeoProperty", "value": spot, "observedAt": at(second)}
            model.written.append(Written(entity, PLACES[0], one, BASE + second * 1_000_000, spot))
    await store.write(model)
    members = {"georel": "equals", "geometry": "Point", "coordinates": [9, 9], "geoproperty": "spot"}
    asked = geo.parse(members, lambda _: PLACES[0])
    query = TemporalQuery(Query(TypeSelection(((model.type,),)), geo=asked), Window("before", at(100)))
    found = await store.temporal.evolutions("", query)
    assert [one.id for one in found] == [f"urn:x:{number}:{n}" for n in (0, 2)]


@settings(max_examples=12)
@given(st.integers(0, 2**32))
@pytest.mark.clause("4.18")
async def test_scopes_are_valid_until_they_change(store: Store, seed: int) -> None:
    r = Random(seed)
    model = _some_history(r, (NAMES[0], SCOPE), _some_scopes)
    model.created = at(r.choice((0, 20, 45)))
    await store.write(model, r)
    for _ in range(6):
        query = _some_scope_query(r, model)
        found = await store.temporal.evolutions("", query)
        told = {one.id: _shown(one) for one in found}
        assert told == _valid(model, query)
        assert list(told) == sorted(told)


def _some_scopes(r: Random, name: str) -> Instance:
    if name != SCOPE:
        return {"type": "Property", "value": r.randint(0, 5), "observedAt": at(r.randint(0, 59))}
    scopes = r.choice((["/A"], ["/A/B"], ["/C", "/A"], []))
    return {"type": "Property", "value": scopes}


def _some_scope_query(r: Random, model: Model) -> TemporalQuery:
    asked = scope.parse(r.choice(("/A", "/A/#", "/C", "(/A;/C)", "/#", "/A/B|/C")))
    timerel = r.choice(("before", "after", "between"))
    start, end = at(r.randint(0, 20)), at(r.randint(21, 60))
    window = Window(timerel, end if timerel == "before" else start, end if timerel == "between" else None)
    last_n = r.choice((None, None, 1, 3))
    return TemporalQuery(Query(TypeSelection(((model.type,),)), scope=asked), window, last_n)


def _valid(model: Model, query: TemporalQuery) -> dict[str, dict[str, list[Json]]]:
    assert query.window is not None
    assert query.entities.scope is not None
    low, high = query.window.bounds
    found = {}
    for entity in model.entities:
        changes = sorted(
            (one for one in model.written if (one.entity, one.name) == (entity, SCOPE)), key=_stamp
        )
        # What an entity came with counts before it came.
        given = changes[0] if changes and changes[0].stamp <= instant.micros(model.created) else None

        def at_time(
            time: int, changes: list[Written] = changes, given: Written | None = given
        ) -> Written | None:
            return next((one for one in reversed(changes) if one.stamp <= time), given)

        def fits(one: Written | None) -> bool:
            return one is not None and scope.matches(query.entities.scope, one.value)  # type: ignore[arg-type]

        kept: dict[str, list[Written]] = {}
        for one in sorted(
            (one for one in model.written if one.entity == entity), key=lambda x: (x.time, x.stamp)
        ):
            inside = (low is None or low <= one.time) and (high is None or one.time < high)
            if inside and "observedAt" in one.instance and fits(at_time(one.time)):
                kept.setdefault(one.name, []).append(one)
        if not kept:
            continue
        first = None if low is None else at_time(low - 1)
        is_carried = low is not None and first is not None and first.stamp < low and at_time(low) is first
        if is_carried and first is not None and fits(first):
            kept.setdefault(SCOPE, []).insert(0, first)
        found[entity] = {
            name: [one.value for one in (many if query.last_n is None else latest(many, query))]
            for name, many in kept.items()
        }
    return found


def _stamp(one: Written) -> int:
    return one.stamp


def _shown(one: Evolution) -> dict[str, list[Json]]:
    return {name: [each["value"] for each in many] for name, many in one.attrs.items()}
