"""Queries that MongoDB can't answer alone, by place and of linked entities: both readers select the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Entity
from broker.core.errors import TooComplexQuery
from broker.core.lang import geo, q
from broker.core.query import Query
from broker.store.query.selection import Selections
from broker.store.wire import codec, places
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenant, Tenants
from tests.core.lang import some
from tests.core.lang.selecting import selects

pytestmark = [pytest.mark.clause("4.9"), pytest.mark.clause("4.10")]

NAME = some.NAMES[1]


@pytest.fixture(scope="module")
async def tenant(mongo_uri: str) -> AsyncIterator[Tenant]:
    async with AsyncExitStack() as stack:
        client = (await open_database(mongo_uri, stack)).client
        yield await Tenants(client, "selections").obtain("")


@pytest.fixture(scope="module")
def selections() -> Selections:
    return Selections(candidates=1000, timeout=10)


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32))
async def test_both_readers_of_places_select_the_same(
    tenant: Tenant, selections: Selections, seed: int
) -> None:
    await _compare_places(tenant, selections, Random(seed), 40, 20)


@pytest.mark.slow
@settings(max_examples=2)
@given(seed=st.integers(0, 2**32))
async def test_both_readers_of_many_places_select_the_same(
    tenant: Tenant, selections: Selections, seed: int
) -> None:
    await _compare_places(tenant, selections, Random(seed), 150, 60)


async def _compare_places(tenant: Tenant, selections: Selections, r: Random, many: int, queries: int) -> None:
    entities = await _store(tenant, [_placed(r, number) for number in range(many)])
    for _ in range(queries):
        query = Query(geo=some.geo_query(r), types=some.full_query(r).types if r.random() < 0.2 else None)
        await _select_the_same(tenant, selections, entities, query)


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32))
async def test_both_readers_of_links_select_the_same(
    tenant: Tenant, selections: Selections, seed: int
) -> None:
    r = Random(seed)
    entities = await _store(tenant, [_linking(r, number) for number in range(60)])
    for _ in range(60):
        tree = some.linked(r, some.query(r, depth=r.choice((0, 0, 1))))
        query = replace(some.full_query(r), q=tree, geo=some.geo_query(r) if r.random() < 0.2 else None)
        await _select_the_same(tenant, selections, entities, query)


async def test_places_follow_every_point_and_border(tenant: Tenant, selections: Selections) -> None:
    """Boxes and cells at the edges of the map, and of each other."""
    longitudes, latitudes = (-180, -90.0, -1e-12, 0, 1e-12, 90, 180), (-90, -45, 0, 45.0, 90)
    points = [[x, y] for x in longitudes for y in latitudes]
    entities = await _store(tenant, [_at("Point", point, n) for n, point in enumerate(points)])
    world = {"georel": "intersects", "geometry": "Polygon", "coordinates": [
        [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]}  # fmt: skip
    for point in points:
        for georel in ("equals", "near;maxDistance==1", "near;minDistance==1", "near;maxDistance==1.1e7"):
            query = geo.parse({"georel": georel, "geometry": "Point", "coordinates": point}, _named)
            await _select_the_same(tenant, selections, entities, Query(geo=query))
    assert len(await _found(tenant, selections, Query(geo=geo.parse(world, _named)))) == len(points)


async def test_what_collapses_takes_nobody_out(tenant: Tenant, selections: Selections) -> None:
    """Parts that are no area are dropped, from a shape and from the reference, though boxes reach so far."""
    square, sliver = [[2, 0], [3, 0], [3, 1], [2, 1], [2, 0]], [[2, 1], [0, 0], [2, 1], [-90, -45], [2, 1]]
    spiked = [[2, 0], [3, 0], [3, 1], [60, 60], [3, 1], [2, 1], [2, 0]]
    shapes = ([[square], [sliver]], [[spiked]], [[square]])
    entities = await _store(tenant, [_at("MultiPolygon", one, n) for n, one in enumerate(shapes)])
    for coordinates in (*shapes, [[[[0, -1], [4, -1], [4, 3], [0, 3], [0, -1]]]]):
        for georel in some.RELATIONS:
            members = {"georel": georel, "geometry": "MultiPolygon", "coordinates": coordinates}
            await _select_the_same(tenant, selections, entities, Query(geo=geo.parse(members, _named)))


async def test_points_near_a_point_or_in_an_area_need_no_closer_look(tenant: Tenant) -> None:
    r = Random(1)
    await _store(tenant, [_at("Point", [r.gauss(3.3, 0.1), r.gauss(49.8, 0.1)], n) for n in range(200)])
    blind = Selections(candidates=1, timeout=10)
    circle = [[3.3, 49.7], [3.4, 49.8], [3.3, 49.9], [3.2, 49.8], [3.3, 49.7]]
    for georel, kind, coordinates in (
        ("near;maxDistance==5000", "Point", [3.3, 49.8]),
        ("near;minDistance==5000", "Point", [3.3, 49.8]),
        *((georel, "Polygon", [circle]) for georel in ("within", "intersects", "disjoint")),
    ):
        members = {"georel": georel, "geometry": kind, "coordinates": coordinates}
        assert 10 < len(await _found(tenant, blind, Query(geo=geo.parse(members, _named)))) < 190


async def test_near_points_are_found_by_the_index(tenant: Tenant, selections: Selections) -> None:
    r = Random(1)
    await _store(tenant, [_at("Point", [r.gauss(3.3, 0.1), r.gauss(49.8, 0.1)], n) for n in range(2000)])
    members = {"georel": "near;maxDistance==500", "geometry": "Point", "coordinates": [3.3, 49.8]}
    wanted = await selections.filter(tenant, Query(geo=geo.parse(members, _named)))
    stats = (await tenant.entities.find(wanted).sort("_id", 1).limit(20).explain())["executionStats"]
    assert 0 < stats["nReturned"] <= stats["totalDocsExamined"] < 50


async def test_what_would_need_too_many_looks_is_too_complex(tenant: Tenant) -> None:
    lines = [_at("LineString", [[0, 0], [1, 1]], n) for n in range(12)]
    await _store(tenant, [{**one, "attrs": {**one["attrs"], some.NAMES[0]: _link(1)}} for one in lines])
    few = Selections(candidates=10, timeout=10)
    members = {"georel": "intersects", "geometry": "Point", "coordinates": [0.5, 0.5]}
    with pytest.raises(TooComplexQuery, match=r"^georel: more than 10 entities need a closer look"):
        await few.filter(tenant, Query(geo=geo.parse(members, _named)))
    with pytest.raises(TooComplexQuery, match=r"^q: more than 10 linked entities"):
        await few.filter(tenant, Query(q=q.parse("a{location}", _named)))


async def test_a_closer_look_ends_in_time(tenant: Tenant) -> None:
    await _store(tenant, [_at("LineString", [[0, 0], [1, 1]], n) for n in range(12)])
    members = {"georel": "intersects", "geometry": "Point", "coordinates": [0.5, 0.5]}
    with pytest.raises(TooComplexQuery, match="longer than this broker allows"):
        await Selections(candidates=100, timeout=1e-4).filter(tenant, Query(geo=geo.parse(members, _named)))


async def test_large_shapes_leave_the_loop_free(tenant: Tenant, selections: Selections) -> None:
    spikes = [[n / 10_000, 1 + n % 2] for n in range(10_000)]
    saw = [[*spikes, [1, 0], [0, 0], spikes[0]]]
    await _store(tenant, [_at("Polygon", saw, n) for n in range(20)])
    members = {
        "georel": "near;maxDistance==1000",
        "geometry": "LineString",
        "coordinates": [[0, -1], [1, -1]],
    }
    longest = 0.0
    loop = asyncio.get_running_loop()
    work = asyncio.create_task(selections.filter(tenant, Query(geo=geo.parse(members, _named))))
    while not work.done():
        begin = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - begin)
    assert "$in" not in str((await work).get("$or"))
    assert longest < 0.5


def test_cells_cover_what_they_are_of() -> None:
    r = Random(1)
    for _ in range(2000):
        west, south = r.uniform(-180, 180), r.uniform(-90, 90)
        size = 10 ** r.uniform(-6, 2.5)
        box = (west, south, min(180.0, west + size), min(90.0, south + size * r.random()))
        cells = places.cells(dict(zip("wsen", box, strict=True)))
        assert 1 <= len(cells) <= 4
        x, y = r.uniform(box[0], box[2]), r.uniform(box[1], box[3])
        (point,) = places.cells({"w": x, "s": y, "e": x, "n": y})
        assert sum(point.startswith(cell) for cell in cells) == 1


def _named(name: str) -> str:
    return NAME if name == "location" else some.NAMES[0]


def _at(kind: str, coordinates: Any, number: int) -> Entity:
    value = {"type": kind, "coordinates": coordinates}
    return {**some.entity(Random(1), number), "attrs": {NAME: [{"type": "GeoProperty", "value": value}]}}


def _placed(r: Random, number: int) -> Entity:
    """An entity, most likely with places."""
    entity = some.entity(r, number)
    for name in some.NAMES[1:]:
        if r.random() < 0.7:
            many = r.choice((1, 1, 2))
            entity["attrs"][name] = [{"type": "GeoProperty", "value": some.geometry(r)} for _ in range(many)]
    return entity


def _link(number: int) -> list[dict[str, Any]]:
    return [{"type": "Relationship", "object": f"urn:e:{number}"}]


def _linking(r: Random, number: int) -> Entity:
    """An entity that links to others, to itself, and to what isn't there."""
    entity = some.entity(r, number)
    for name in some.NAMES:
        ids = [f"urn:e:{r.randint(0, 70)}" for _ in range(r.randint(1, 3))]
        match r.randint(0, 3):
            case 0:
                entity["attrs"][name] = [{"type": "Relationship", "object": r.choice((ids, ids[0]))}]
            case 1:
                entity["attrs"][name] = [{"type": "ListRelationship", "objectList": ids}, *_link(number)]
            case 2 if name in entity["attrs"]:
                entity["attrs"][name][0]["attrs"] = {some.NAMES[0]: _link(r.randint(0, 70))}
    return entity


async def _store(tenant: Tenant, entities: list[Entity]) -> list[Entity]:
    await tenant.entities.delete_many({})
    documents = [{**codec.encode_entity(one), **codec.encode_places(one["attrs"])} for one in entities]
    await tenant.entities.insert_many([*documents, {"_id": "epoch", "n": 1}])
    return entities


async def _found(tenant: Tenant, selections: Selections, query: Query) -> set[str]:
    return {
        one["_id"] async for one in tenant.entities.find(await selections.filter(tenant, query), {"_id": 1})
    }


async def _select_the_same(
    tenant: Tenant, selections: Selections, entities: list[Entity], query: Query
) -> None:
    found = await _found(tenant, selections, query)
    by_id = {entity["id"]: entity for entity in entities}
    for entity in entities:
        is_found = entity["id"] in found
        if selects(query, entity, by_id.get) is not is_found:
            pytest.fail(f"found by MongoDB: {is_found}; {query.q or query} {query.geo} on {entity}")
    assert found <= by_id.keys()
