"""History over HTTP while a packer is at it all the time: nothing that clients see tells what is packed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from tests.api.conftest import Api
from tests.conftest import free_port, running

WORTH = 500  # instances that are worth the while of the packer
DATASETS = (None, "urn:d:1", "urn:d:2")
Key = tuple[int, str | None]


@pytest.fixture(scope="module")
async def packing(mongo_uri: str) -> AsyncIterator[Api]:
    """A broker of two workers that packs all there is, as soon as there is enough of it."""
    port = free_port()
    settings = {"pack_after": 0, "pack_interval": 0.05, "temporal_page": 20_000, "workers": 2}
    async with (
        running(port, mongo_uri=mongo_uri, database="packing", **settings),
        aiohttp.ClientSession() as http,
    ):
        yield Api(http, f"http://127.0.0.1:{port}", {})


@pytest.fixture(scope="module")
async def buckets(mongo_uri: str) -> AsyncIterator[Any]:
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        yield client["packing"]["packed"]


def at(second: int) -> str:
    return (
        f"2020-09-{second // 86_400 + 1:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}Z"
    )


def instance(second: int, value: Any, dataset: str | None = None) -> dict[str, Any]:
    one = {"type": "Property", "value": value, "observedAt": at(second)}
    return one if dataset is None else {**one, "datasetId": dataset}


@dataclass
class Series:
    """What the speed of one vehicle was, as it should be: values by time and datasetId."""

    api: Api
    r: Random
    id: str
    there: dict[Key, int] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"temporal/entities/{self.id}"

    async def add(self) -> None:
        """Adds instances, or replaces them."""
        keys = {self._some_key(): self.r.randint(0, 9) for _ in range(self.r.choice((1, 30, 500)))}
        self.there |= keys
        doc = [instance(second, value, dataset) for (second, dataset), value in keys.items()]
        answer = await self.api("POST", "temporal/entities", {"id": self.id, "type": "Car", "speed": doc})
        assert answer.status in (201, 204), answer.body

    async def replace(self) -> None:
        """Replaces one by its instanceId; by chance it moves in time."""
        if not (chosen := await self._chosen()):
            return
        name, key = chosen
        value = self.there.pop(key)
        second = key[0] if self.r.random() < 0.5 else self._some_key()[0]
        if (second, key[1]) in self.there:  # two would be of one time: leave that out
            second = key[0]
        self.there[second, key[1]] = value + 10
        answer = await self.api(
            "PATCH", f"{self.path}/attrs/speed/{name}", instance(second, value + 10, key[1])
        )
        assert answer.status == 204, answer.body

    async def delete(self) -> None:
        """Deletes one instance."""
        if chosen := await self._chosen():
            del self.there[chosen[1]]
            answer = await self.api("DELETE", f"{self.path}/attrs/speed/{chosen[0]}")
            assert answer.status == 204, answer.body

    async def delete_dataset(self) -> None:
        """Deletes the instances of one datasetId."""
        dataset = self.r.choice(DATASETS)
        status = 204 if any(one == dataset for _, one in self.there) else 404
        self.there = {key: value for key, value in self.there.items() if key[1] != dataset}
        query = "" if dataset is None else f"?datasetId={dataset}"
        answer = await self.api("DELETE", f"{self.path}/attrs/speed{query}")
        assert answer.status == status, answer.body

    async def wait(self) -> None:
        """Lets the packer come by."""
        await asyncio.sleep(self.r.choice((0, 0.1, 0.3)))

    async def agree(self) -> None:
        """What the broker has is what there is, in any window."""
        low, high = sorted((self._some_key()[0], self._some_key()[0]))
        window = f"?timerel=between&timeAt={at(low)}&endTimeAt={at(high)}"
        inside = {key: value for key, value in self.there.items() if low <= key[0] < high}
        assert await self._told(window) == _plain(inside)
        assert await self._told("") == _plain(self.there)
        if len(self.there) > 5:
            last = (await self.api.get(f"{self.path}?lastN=5"))["speed"]
            times = sorted({second for second, _ in self.there})[-5:]
            newest = sorted((-second, dataset or "") for second, dataset in self.there if second in times)
            assert [(one["observedAt"], one.get("datasetId", "")) for one in last] == [
                (at(-second), dataset) for second, dataset in newest
            ]

    async def _told(self, query: str) -> list[Any]:
        answer = await self.api("GET", self.path + query)
        if answer.status == 404:
            return []
        assert answer.status == 200, answer.body
        found = [
            (one["observedAt"], one.get("datasetId") or "", one["value"])
            for one in answer.doc.get("speed", [])
        ]
        return sorted(found)

    async def _chosen(self) -> tuple[str, Key] | None:
        if not self.there:
            return None
        key = self.r.choice(list(self.there))
        window = f"?timerel=between&timeAt={at(key[0])}&endTimeAt={at(key[0] + 1)}"
        many = (await self.api.get(self.path + window))["speed"]
        [one] = [one for one in many if one.get("datasetId") == key[1]]
        return one["instanceId"], key

    def _some_key(self) -> Key:
        return self.r.randint(0, 1500), self.r.choice((None, None, None, *DATASETS))


def _plain(many: dict[Key, int]) -> list[Any]:
    return sorted((at(second), dataset or "", value) for (second, dataset), value in many.items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_of_revisions(packing: Api, buckets: Any, seed: int) -> None:
    r = Random(seed)
    series = Series(packing, r, f"urn:car:{seed}")
    actions = (
        Series.add, Series.add, Series.add, Series.replace, Series.replace, Series.delete,
        Series.delete_dataset, Series.wait, Series.wait, Series.wait,
    )  # fmt: skip
    seen = 0
    for _ in range(60):
        await r.choice(actions)(series)
        await series.agree()
        seen += await buckets.find_one({"_id.e": series.id}) is not None
    assert seen > 5, "there were buckets much of the time"


async def _packed(buckets: Any, entity: str) -> None:
    async with asyncio.timeout(20):
        while not await buckets.find_one({"_id.e": entity}):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_evolutions_are_deleted_with_what_is_packed(packing: Api, buckets: Any) -> None:
    for number in range(3):
        entity = f"urn:bus:{number}"
        doc = {"id": entity, "type": "Bus", "speed": [instance(n, n) for n in range(WORTH)]}
        assert (await packing("POST", "temporal/entities", doc)).status == 201
        await _packed(buckets, entity)
    assert (await packing("DELETE", "temporal/entities/urn:bus:0")).status == 204
    assert (await packing("DELETE", "temporal/entities/urn:bus:1/attrs/speed?deleteAll=true")).status == 204
    assert (await packing("GET", "temporal/entities/urn:bus:0")).status == 404
    assert (await packing("DELETE", "temporal/entities/urn:bus:1/attrs/speed?deleteAll=true")).status == 404
    assert "speed" not in await packing.get("temporal/entities/urn:bus:1")
    assert (await packing("DELETE", "entities/urn:bus:2/attrs/speed")).status == 204
    last = (await packing.get("temporal/entities/urn:bus:2?lastN=1"))["speed"]
    assert "deletedAt" in last[0]
    assert not await buckets.find_one({"_id.e": {"$in": ["urn:bus:0", "urn:bus:1"]}})


@pytest.mark.clause("4.5.19")
async def test_hours_that_are_summed_up_and_others_come_to_the_same(packing: Api, buckets: Any) -> None:
    many = [instance(n * 60, n % 7) for n in range(400)]
    doc = {"id": "urn:tram:1", "type": "Tram", "speed": many[:200]}
    assert (await packing("POST", "temporal/entities", doc)).status == 201
    assert (await packing("POST", "temporal/entities/urn:tram:1/attrs", {"speed": many[200:]})).status == 204
    await _packed(buckets, "urn:tram:1")
    late = {"speed": [instance(n * 60 + 30, 100) for n in range(0, 400, 50)]}
    assert (await packing("POST", "temporal/entities/urn:tram:1/attrs", late)).status == 204
    methods = "&format=aggregatedValues&aggrMethods=avg,max,min,sum,sumsq,totalCount&aggrPeriodDuration=PT1H"
    whole = f"temporal/entities/urn:tram:1?timerel=between&timeAt={at(0)}&endTimeAt={at(7 * 3600)}{methods}"
    found = (await packing.get(whole))["speed"]
    values = {n * 60: n % 7 for n in range(400)} | {n * 60 + 30: 100 for n in range(0, 400, 50)}
    for hour in range(7):
        there = [value for second, value in values.items() if second // 3600 == hour]
        span = [at(hour * 3600), at((hour + 1) * 3600)]
        expected = {
            "avg": sum(there) / len(there), "max": max(there), "min": min(there), "sum": sum(there),
            "sumsq": sum(one * one for one in there), "totalCount": len(there),
        }  # fmt: skip
        assert {name: found[name][hour][0] for name in expected} == pytest.approx(expected)
        assert found["avg"][hour][1:] == span
    part = whole.replace(at(0), at(1800)).replace(at(7 * 3600), at(9000)).replace("PT1H", "PT30M")
    counts = (await packing.get(part))["speed"]["totalCount"]
    inside = [sum(low <= second < low + 1800 for second in values) for low in (1800, 3600, 5400, 7200)]
    assert [one[0] for one in counts] == inside
