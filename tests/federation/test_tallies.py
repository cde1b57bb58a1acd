"""Tallies of context sources: counted by every process, and shown with the registration."""

import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack

import aiohttp
import pytest

from broker.core.errors import Unavailable
from broker.core.federation.source import Match, Source
from broker.core.federation.source_tally import SourceTally
from broker.core.federation.step import Fault, Reply, Step
from broker.federation.tallies import Tallies
from broker.store.registry.source_tallies import MongoSourceTallies
from tests.core.documents import CORE
from tests.core.federation.registrations import small
from tests.federation.workers import Worker, working

PATH = "csourceRegistrations"
TIMES = [f"2026-10-01T12:00:0{n}.000000" for n in range(10)]


def reply(name: str, status: int | None = None, fault: Fault | None = None) -> Reply:
    step = Step(Match(Source(f"urn:r:{name}", "http://source:9"), ()), "retrieveEntity", CORE)
    return Reply(step, status, fault)


class Process:
    """The tallies of a process; its time is the next one of `TIMES` each time."""

    def __init__(self, worker: Worker) -> None:
        self.at = 0
        self.store = MongoSourceTallies(worker.broker.registrations._tenants)  # type: ignore[attr-defined]
        self.tallies = Tallies(self.store, lambda: TIMES[self.at])

    def note(self, at: int, *replies: Reply) -> None:
        self.at = at
        self.tallies.note("", replies)


@pytest.fixture
async def worker(mongo_uri: str) -> AsyncIterator[Worker]:
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(working(mongo_uri, f"k{secrets.token_hex(4)}"))
        assert await worker("POST", PATH, small(id="urn:r:1")) == 201
        yield worker


@pytest.mark.clause("5.2.9")
async def test_several_processes_add_up(worker: Worker) -> None:
    one, other = Process(worker), Process(worker)
    assert await one.tallies.of("", ["urn:r:1"]) == {}
    one.note(3, reply("1", 200), reply("1", fault=Fault.COOLING))
    assert await one.tallies.of("", ["urn:r:1"]) == {"urn:r:1": SourceTally(1, 0, TIMES[3])}
    other.note(2, reply("1", fault=Fault.TIMEOUT), reply("1", 404))
    assert await one.tallies.of("", ["urn:r:1"]) == {"urn:r:1": SourceTally(1, 0, TIMES[3])}
    await other.tallies.flush()
    (tally,) = (await one.tallies.of("", ["urn:r:1", "urn:r:2"])).values()
    assert tally == SourceTally(3, 2, TIMES[3], TIMES[2])
    assert tally.shown() == {
        "status": "ok",
        "timesSent": 3,
        "timesFailed": 2,
        "lastSuccess": TIMES[3] + "Z",
        "lastFailure": TIMES[2] + "Z",
    }
    one.note(4, reply("1", 500))
    assert (await one.tallies.of("", ["urn:r:1"]))["urn:r:1"].shown()["status"] == "failed"


@pytest.mark.clause("5.2.9")
async def test_they_are_shown_with_the_registration_and_go_with_it(
    worker: Worker,
) -> None:
    tallies: Tallies = worker.broker.sources._tallies  # type: ignore[attr-defined]

    async def shown(path: str) -> dict[str, object]:
        http: aiohttp.ClientSession = worker._http
        async with http.get(f"/ngsi-ld/v1/{path}") as answer:
            doc = await answer.json()
            return doc[0] if isinstance(doc, list) else doc  # type: ignore[no-any-return]

    members = {"status", "timesSent", "timesFailed", "lastSuccess", "lastFailure"}
    for path in (f"{PATH}/urn:r:1", f"{PATH}?type=T"):
        assert not members & (await shown(path)).keys()
    tallies.note("", [reply("1", 204), reply("gone", 204)])
    for path in (f"{PATH}/urn:r:1", f"{PATH}?type=T"):
        assert members & (await shown(path)).keys() == members - {"lastFailure"}
    assert await worker("PATCH", f"{PATH}/urn:r:1", {"description": "x"}) == 204
    assert (await shown(f"{PATH}/urn:r:1"))["timesSent"] == 1
    assert await worker("DELETE", f"{PATH}/urn:r:1") == 204
    assert await worker("POST", PATH, small(id="urn:r:1")) == 201
    assert not members & (await shown(f"{PATH}/urn:r:1")).keys()


class TallyMemory:
    """A store in memory; while it `is_away` nothing can be added."""

    def __init__(self) -> None:
        self.is_away = False
        self.added: dict[str, SourceTally] = {}

    async def add_tallies(self, tenant: str, tallies: Mapping[str, SourceTally]) -> None:
        if self.is_away:
            raise Unavailable("the database is away")
        self.added |= tallies

    async def tallies(self, tenant: str, registration_ids: Collection[str]) -> dict[str, SourceTally]:
        return self.added


async def test_nothing_is_lost_while_the_store_is_away() -> None:
    store, times = TallyMemory(), iter(TIMES)
    store.is_away = True
    tallies = Tallies(store, lambda: next(times))
    tallies.note("", [reply("1", 200)])
    with pytest.raises(Unavailable):
        await tallies.flush()
    tallies.note("", [reply("1", 500)])
    with pytest.raises(Unavailable):
        await tallies.of("", ["urn:r:1"])
    store.is_away = False
    await tallies.flush()
    assert store.added == {"urn:r:1": SourceTally(2, 1, TIMES[0], TIMES[1])}
