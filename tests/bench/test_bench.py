"""The bench measures what it says: its client, its arithmetic, and a smoke run of the whole."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bench import workload
from tests.bench.__main__ import DELIVERY, NOTIFICATIONS
from tests.bench.client import LOOPBACK, Framer, Message, call, head, percentile, run_load
from tests.bench.hostile import hostile
from tests.bench.notifications import Receiver
from tests.bench.scenarios import SCENARIOS

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=y\r\npedia\r\n0\r\n\r\n"
BAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"


def bodies(messages: list[Message]) -> list[bytes]:
    return [message.body for message in messages]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_come_out_whole_however_they_are_cut(size: int) -> None:
    stream, framer = OK + EMPTY + CHUNKED + BAD + OK, Framer()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    messages = [message for piece in pieces for message in framer.feed(piece)]
    assert [message.status for message in messages] == [200, 204, 200, 503, 200]
    assert bodies(messages) == [b"ok", b"", b"wikipedia", b"busy", b"ok"]


def test_what_follows_a_message_is_kept_for_the_next() -> None:
    framer = Framer()
    assert bodies(framer.feed(OK + BAD[:-1])) == [b"ok"]
    assert framer.feed(b"") == []
    assert bodies(framer.feed(BAD[-1:])) == [b"busy"]


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (0.5, 1)])
def test_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


def test_percentile_of_one_and_of_none() -> None:
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 99) == 0.0


def test_the_entity_is_the_one_of_the_field() -> None:
    rendered = workload.entity(7)
    entity = json.loads(rendered)
    assert 1050 <= len(rendered) <= 1150
    assert [len(entity[name]) for name in ("humidity", "level")] == [2, 2]
    assert all("datasetId" in each for name in ("humidity", "level") for each in entity[name])
    assert "accuracy" in entity[workload.MEASURED]
    assert json.loads(workload.update(20.5)).keys() == {"humidity", "level", workload.MEASURED}


def test_bodies_keep_their_length() -> None:
    assert len({len(workload.partial(workload.measured())) for _ in range(1000)}) == 1


def test_scenarios_have_names_of_their_own() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


async def test_the_receiver_knows_what_is_missing() -> None:
    receiver = Receiver()
    for stamp in (1_700_000_000_000_001, 1_700_000_000_000_002):
        receiver.await_stamp(stamp)
    receiver.take(b'{"data":[{"temperature":{"value": 1700000000000001}}]}')
    assert receiver.due == {1_700_000_000_000_002}
    receiver.take(b'{"data":[{"temperature":{"value":1700000000000002}}]}')
    assert await receiver.drained() == 0
    assert len(receiver.ages) == 2


@asynccontextmanager
async def answering(answer: Callable[[int], bytes | None]) -> AsyncIterator[int]:
    """A server that answers by the number of the request, or closes the connection."""
    numbers = iter(range(1_000_000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = Framer()
        while data := await reader.read(1 << 16):
            replies = [answer(next(numbers)) for _ in framer.feed(data)]
            writer.write(b"".join(reply or b"" for reply in replies))
            if None in replies:
                break
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_load_ends_at_its_limit() -> None:
    async with answering(lambda _: OK) as port:
        load = await run_load(port, lambda: head("GET", "/"), connections=4, seconds=5, limit=50)
    assert (load.requests, load.errors) == (50, 0)
    assert load.statuses == {200: 50}


async def test_a_load_ends_with_its_time() -> None:
    async with answering(lambda _: EMPTY) as port:
        load = await run_load(port, lambda: head("GET", "/"), connections=2, seconds=0.2)
    assert 0.15 < load.seconds < 2
    assert load.rate > 0


async def test_errors_are_counted_and_shown() -> None:
    async with answering(lambda number: BAD if number % 2 else OK) as port:
        load = await run_load(port, lambda: head("GET", "/"), connections=1, seconds=5, limit=10)
    assert load.errors == 5
    assert load.failure == "503 busy"
    assert load.sample is not None
    assert load.sample[1].body == b"ok"


async def test_a_lost_connection_is_an_error() -> None:
    async with answering(lambda number: None if number == 3 else OK) as port:
        load = await run_load(port, lambda: head("GET", "/"), connections=1, seconds=5, limit=10)
    assert (load.requests, load.lost, load.errors) == (3, 1, 1)


async def test_one_call_gives_the_answer() -> None:
    async with answering(lambda _: CHUNKED) as port:
        assert (await call(port, head("GET", "/"))).body == b"wikipedia"


@pytest.mark.slow
def test_the_bench_runs(tmp_path: Path) -> None:
    """Every third scenario: all of them take minutes."""
    path, chosen = tmp_path / "bench.json", SCENARIOS[::3]
    keys = [*(scenario.key for scenario in chosen), NOTIFICATIONS, DELIVERY]
    command = [sys.executable, "-m", "tests.bench", "--quick", "--json", str(path), "--only", *keys]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(path.read_bytes())
    assert report["bare"]["rate"] > 0
    assert [row["errors"] for row in report["scenarios"]] == [0] * len(report["scenarios"])
    assert {scenario.name for scenario in chosen} <= {row["name"] for row in report["scenarios"]}
    assert {"16 told of each update, 100 endpoints"} < {row["name"] for row in report["scenarios"]}
    assert all(window["received"] >= window["due"] > 0 for window in report["notifications"]["crowded"])


@pytest.mark.slow
def test_hostile_queries_end_in_time_and_never_in_a_5xx() -> None:
    command = [sys.executable, "-m", "tests.bench.hostile", "--seconds", "0.1", "--entities", "3000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name, _ in hostile())


@pytest.mark.slow
def test_the_bench_of_the_past_runs() -> None:
    command = [sys.executable, "-m", "tests.bench.history", "--seconds", "0.2", "--instances", "5000"]
    done = subprocess.run([*command, "--points", "120"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in ("last 100, of 5,000", "a day (1440), of 5,000", "5 x 120"))
