"""Batches that two brokers carry out together (5.6.7 to 5.6.10, 5.6.20), over HTTP."""

import pytest

from tests.api.conftest import Cities, room
from tests.core.federation.registrations import info

BATCHES = ["createBatch", "upsertBatch", "updateBatch", "mergeBatch", "deleteBatch"]
SINGLES = ["redirectionOps"]
DEAD = "http://127.0.0.1:1"
A, B = "urn:x:a", "urn:x:b"


@pytest.mark.parametrize("operations", [BATCHES, SINGLES])
@pytest.mark.parametrize(("mode", "is_here"), [("redirect", False), ("inclusive", True)])
async def test_every_batch_reaches_the_source(
    cities: Cities, mode: str, is_here: bool, operations: list[str]
) -> None:
    """By one request where the source takes batches, otherwise by one for each entity."""
    await cities.register("1", mode=mode, operations=operations)

    async def both() -> tuple[object, object]:
        a, b = await cities.there(A), await cities.there(B)
        assert (await cities.here(A), await cities.here(B)) == ((a, b) if is_here else (None, None))
        return tuple({k: v for k, v in (e or {}).items() if k not in ("id", "type")} for e in (a, b))  # type: ignore[return-value]

    answer = await cities.home("POST", "entityOperations/create", [room(A, heat=1), room(B, heat=2)])
    assert (answer.status, answer.doc) == (201, [A, B])
    assert await both() == ({"heat": 1}, {"heat": 2})
    answer = await cities.home("POST", "entityOperations/upsert", [room(A, cold=1), room(B, cold=2)])
    assert answer.status == 204
    assert await both() == ({"cold": 1}, {"cold": 2})
    answer = await cities.home("POST", "entityOperations/update", [room(A, heat=3), room(B, cold=4)])
    assert answer.status == 204
    assert await both() == ({"cold": 1, "heat": 3}, {"cold": 4})
    answer = await cities.home("POST", "entityOperations/merge", [room(A, heat=5), room(B, heat=6)])
    assert answer.status == 204
    assert await both() == ({"cold": 1, "heat": 5}, {"cold": 4, "heat": 6})
    answer = await cities.home("POST", "entityOperations/delete", [A, B])
    assert answer.status == 204
    assert await both() == ({}, {})


async def test_an_upsert_says_what_any_part_created(cities: Cities) -> None:
    await cities.register("1", mode="redirect", operations=BATCHES)
    await cities.river.make(room(A, heat=1))
    answer = await cities.home("POST", "entityOperations/upsert?options=update", [room(A, cold=1), room(B)])
    assert (answer.status, answer.doc) == (201, [B])
    assert await cities.there(A) == {"id": A, "type": "T", "heat": 1, "cold": 1}


async def test_items_are_divided(cities: Cities) -> None:
    await cities.register("1", info("heat", type="T", id=A), mode="exclusive", operations=BATCHES)
    answer = await cities.home("POST", "entityOperations/create", [room(A, heat=1, level=1), room(B, heat=2)])
    assert (answer.status, answer.doc) == (201, [A, B])
    assert await cities.here(A) == {"id": A, "type": "T", "level": 1}
    assert await cities.there(A) == {"id": A, "type": "T", "heat": 1}
    assert (await cities.here(B))["heat"] == 2
    assert await cities.there(B) is None


async def test_an_item_fails_in_parts(cities: Cities) -> None:
    """Its id is in success since a part was done, and in errors once for each part that failed."""
    await cities.register(
        "1", info("heat", type="T", id=A), mode="exclusive", operations=BATCHES, endpoint=DEAD
    )
    docs = [room(A, heat=1, level=1), room(B, heat=2), {"id": "urn:x:c"}]
    answer = await cities.home("POST", "entityOperations/create", docs)
    assert answer.status == 207
    assert answer.doc["success"] == [A, B]
    [first, second] = answer.doc["errors"]
    assert (first["entityId"], first["registrationId"], first["error"]["status"]) == (A, "urn:r:1", 502)
    assert (second["entityId"], second["error"]["status"]) == ("urn:x:c", 400)


async def test_what_a_source_says_of_each_item_counts(cities: Cities) -> None:
    await cities.register("1", mode="redirect", operations=BATCHES)
    await cities.river.make(room(A, heat=1))
    answer = await cities.home("POST", "entityOperations/create", [room(A, heat=2), room(B, heat=2)])
    assert (answer.status, answer.doc["success"]) == (207, [B])
    [failed] = answer.doc["errors"]
    assert (failed["entityId"], failed["error"]["status"], failed["registrationId"]) == (A, 409, "urn:r:1")
    answer = await cities.home("POST", "entityOperations/delete", [A, "urn:x:nobody"])
    assert (answer.status, answer.doc["success"]) == (207, [A])
    assert answer.doc["errors"][0]["error"]["status"] == 404


async def test_a_source_without_the_operation_is_a_conflict_of_its_items(cities: Cities) -> None:
    await cities.register("1", info(type="T", id=A), mode="redirect", operations=["retrieveOps"])
    answer = await cities.home("POST", "entityOperations/create", [room(A), room(B)])
    assert (answer.status, answer.doc["success"]) == (207, [B])
    assert answer.doc["errors"][0]["error"]["status"] == 409
