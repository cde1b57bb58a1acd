"""What workers know of context sources: the same, at once, and without asking where nothing changed."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from broker.clock import Clock
from broker.core.errors import NonexistentTenant, Unavailable
from broker.core.federation.matching import Spec, spec_of_entity
from broker.core.federation.origin import Origin
from broker.core.federation.source import Match, Source, source
from broker.core.federation.source_tally import SourceTally
from broker.core.federation.step import Reply, Step
from broker.federation.known_sources import KnownSources
from broker.federation.tallies import Tallies
from broker.ports.sources import SourceChanges
from broker.store.registry.registrations import MongoRegistrations
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants
from tests.core.documents import CORE
from tests.core.federation.registrations import info, of, small
from tests.federation.test_tallies import TallyMemory
from tests.federation.workers import Worker, working

PATH = "csourceRegistrations"
NOW = "2026-10-01T12:00:00"


def named(name: str, **members: Any) -> dict[str, Any]:
    return small(info("heat", type="T", id=f"urn:x:{name}"), id=f"urn:r:{name}", **members)


def asked(name: str) -> Spec:
    return spec_of_entity(f"urn:x:{name}")


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    with pytest.raises(StopIteration) as ended:
        work.send(None)
    return ended.value.value


@pytest.fixture
async def workers(mongo_uri: str) -> AsyncIterator[list[Worker]]:
    """Two workers on a database of their own."""
    uri = f"{mongo_uri}&serverMonitoringMode=poll"
    async with AsyncExitStack() as stack:
        database = f"k{secrets.token_hex(4)}"
        yield [await stack.enter_async_context(working(uri, database)) for _ in range(2)]


async def until_current(*workers: Worker) -> None:
    """Returns when what the workers know is known to be current."""
    async with asyncio.timeout(20):
        for worker in workers:
            while not worker.broker.sources._is_current():  # type: ignore[attr-defined]  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.clause("5.9.2")
@pytest.mark.parametrize("tenant", ["", "a"])
async def test_every_worker_knows_of_a_change_before_it_is_answered(
    workers: list[Worker], tenant: str
) -> None:
    one, other = workers
    assert [await worker.concerned(tenant=tenant) for worker in workers] == [None, None]
    for number in range(5):
        first, second = (one, other) if number % 2 else (other, one)
        assert await first("POST", PATH, named("1"), tenant) == 201
        for worker in (second, first):
            assert await worker.concerned(asked("1"), tenant) == ["urn:r:1"]
        moved = {"information": [info("heat", type="T", id="urn:x:2")]}
        assert await second("PATCH", f"{PATH}/urn:r:1", moved, tenant) == 204
        for worker in workers:
            assert await worker.concerned(asked("1"), tenant) == []
            assert await worker.concerned(asked("2"), tenant) == ["urn:r:1"]
        assert await first("DELETE", f"{PATH}/urn:r:1", None, tenant) == 204
        assert [await worker.concerned(asked("2"), tenant) for worker in workers] == [None, None]


@pytest.mark.clause("5.9.2")
async def test_changes_at_the_same_time_reach_everybody(workers: list[Worker]) -> None:
    async def register(number: int) -> None:
        assert await workers[number % 2]("POST", PATH, named(str(number))) == 201
        for worker in workers:
            assert await worker.concerned(asked(str(number))) == [f"urn:r:{number}"]

    await asyncio.gather(*map(register, range(20)))
    assert [len(await worker.concerned() or ()) for worker in workers] == [20, 20]


async def test_a_worker_that_comes_later_knows_them_too(workers: list[Worker], mongo_uri: str) -> None:
    database = f"k{secrets.token_hex(4)}"
    async with working(mongo_uri, database) as first:
        assert await first("POST", PATH, named("1")) == 201
        async with working(mongo_uri, database) as second:
            assert await second.concerned() == ["urn:r:1"]
            assert await second("DELETE", f"{PATH}/urn:r:1") == 204
            assert [await worker.concerned() for worker in (first, second)] == [None, None]


async def test_nothing_is_read_where_nothing_changed(workers: list[Worker]) -> None:
    worker = workers[0]
    assert await worker.concerned() is None
    await until_current(*workers)
    assert at_once(worker.concerned()) is None
    assert await workers[1]("POST", PATH, named("1")) == 201
    assert at_once(worker.concerned()) == ["urn:r:1"]


async def test_what_was_never_announced_is_found_in_the_end(workers: list[Worker], mongo_uri: str) -> None:
    """A process died between the commit of a registration and its announcement."""
    worker = workers[0]
    assert await worker.concerned() is None
    await until_current(worker)
    async with AsyncExitStack() as stack:
        client = (await open_database(mongo_uri, stack)).client
        tenants: Tenants = worker.broker.registrations._tenants  # type: ignore[attr-defined]
        silent = MongoRegistrations(client, Tenants(client, tenants._prefix), Clock(), limit=100)

        async def approve(_: object) -> None:
            """Nothing is in the way."""

        await silent.create("", of(id="urn:r:1"), approve)
    assert at_once(worker.concerned()) is None
    await worker.broker.sources.check(NOW)  # type: ignore[attr-defined]
    assert at_once(worker.concerned()) == ["urn:r:1"]


class Log:
    """A log of changes in memory. `gate`: reads wait until it is set; `fault`: the next read raises it."""

    def __init__(self, *sources: Source) -> None:
        self.sources = {one.id: one for one in sources}
        self.epoch = 0
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: Exception | None = None

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SourceChanges:
        self.reads += 1
        seen = SourceChanges(self.epoch, [*self.sources.values()], whole=True)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        if tenant != "":
            raise NonexistentTenant(tenant)
        return seen


async def ask(_: Origin, steps: Sequence[Step]) -> list[Reply]:
    return [Reply(step, 200) for step in steps]


def known(log: Log, is_current: Callable[[], bool] = lambda: True) -> KnownSources:
    """The sources of a log."""
    return KnownSources(log, ask, is_current, Tallies(TallyMemory(), lambda: NOW))


async def found(sources: KnownSources) -> list[str]:
    registry = await sources.of("")
    return [] if registry is None else [one.source.id for one in registry.concerned(Spec(), (), NOW)]


A, B = (source(of(id=f"urn:r:{name}")) for name in "ab")


async def test_all_who_come_while_it_is_read_wait_for_one_read() -> None:
    log = Log(A)
    sources = known(log)
    log.gate.clear()
    tasks = [asyncio.create_task(found(sources)) for _ in range(10)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # whoever caused the read may leave
    await asyncio.sleep(0.01)
    log.gate.set()
    assert await asyncio.gather(*tasks[1:]) == [["urn:r:a"]] * 9
    assert log.reads == 1
    assert at_once(found(sources)) == ["urn:r:a"]


async def test_a_change_that_is_announced_while_it_is_read_is_not_missed() -> None:
    log = Log(A)
    sources = known(log)
    log.gate.clear()
    reading = asyncio.create_task(found(sources))
    await asyncio.sleep(0.01)
    log.sources["urn:r:b"] = B
    changed = asyncio.create_task(sources.changed([""]))
    await asyncio.sleep(0.01)
    assert not changed.done()
    log.gate.set()
    await changed
    await reading
    assert at_once(found(sources)) == ["urn:r:a", "urn:r:b"]


async def test_a_tenant_that_nobody_asked_about_is_not_read() -> None:
    log = Log(A)
    await known(log).changed(["", "other"])
    assert log.reads == 0


async def test_who_may_have_missed_something_looks_each_time() -> None:
    log = Log(A)
    is_current = True
    sources = known(log, lambda: is_current)
    assert await found(sources) == ["urn:r:a"]
    is_current = False
    log.sources = {"urn:r:b": B}
    assert await found(sources) == ["urn:r:b"]
    log.fault = Unavailable("the database is away")
    with pytest.raises(Unavailable):
        await found(sources)
    is_current = True
    assert await found(sources) == ["urn:r:b"]


async def test_a_tenant_that_does_not_exist_has_none_and_is_not_remembered() -> None:
    log = Log(A)
    sources = known(log)
    for _ in range(2):
        assert await sources.of("nobody") is None
    assert log.reads == 2
    assert (sources._refreshes, sources._loaded) == ({}, {})


async def test_what_cannot_be_read_harms_no_other_tenant(caplog: pytest.LogCaptureFixture) -> None:
    log = Log(A)
    sources = known(log)
    assert await found(sources) == ["urn:r:a"]
    log.fault = Unavailable("the database is away")
    with pytest.raises(Unavailable):  # the announcement is applied later
        await sources.changed([""])
    log.fault = RuntimeError("damaged")
    await sources.changed([""])
    assert "cannot be read" in caplog.text
    with pytest.raises(RuntimeError):
        await found(sources)
    log.fault = None
    assert await found(sources) == ["urn:r:a"]


async def test_what_has_expired_goes_out_of_memory() -> None:
    log = Log(A, source(of(id="urn:r:old", expiresAt="2090-01-01T00:00:00Z")))
    sources = known(log)
    registry = await sources.of("")
    assert registry is not None
    later = "2090-01-01T00:00:00.000000"
    assert [one.source.id for one in registry.concerned(Spec(), (), NOW)] == ["urn:r:a", "urn:r:old"]
    assert [one.source.id for one in registry.concerned(Spec(), (), later)] == ["urn:r:a"]


@pytest.mark.clause("5.2.9")
async def test_who_is_asked_is_counted() -> None:
    sources = known(Log(A))
    step = Step(Match(A, ()), "retrieveEntity", CORE)
    assert await sources.ask(Origin(""), [step, step]) == [Reply(step, 200)] * 2
    assert await sources.tallies("", ["urn:r:a"]) == {"urn:r:a": SourceTally(2, 0, NOW)}


async def test_closing_stops_what_is_read() -> None:
    log = Log(A)
    sources = known(log)
    log.gate.clear()
    reading = asyncio.create_task(found(sources))
    await asyncio.sleep(0.01)
    await sources.close()
    with pytest.raises(asyncio.CancelledError):
        await reading
