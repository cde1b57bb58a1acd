"""What is hardly HTTP any more: the broker answers or hangs up, in time, and blames the client."""

import asyncio
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.fuzz.strategies import Maker, makers
from tests.fuzz.test_requests import TENANT, hurried
from tests.fuzz.wire import SECONDS, Wire, faults

AT_ONCE = 16
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_JUNK = [
    b"\x00",
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\xff",
    b"\x80",
    b"%",
    b"?",
    b"#",
    b"HTTP/1.1",
    b"a" * 9000,
]
_JUNK += [
    b"\r\n" + header
    for header in (
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip",
        b"Expect: 100-continue",
    )
]


def damaged(request: bytes, dice: Random) -> bytes:
    """The request with junk in it, or without a part of it, or with a part of it twice."""
    for _ in range(dice.randint(1, 3)):
        start = dice.randrange(len(request) + 1)
        stop = dice.randint(start, min(len(request), start + 40))
        cut, junk = request[start:stop], dice.choice(_JUNK)
        request = request[:start] + dice.choice([b"", cut * 2, junk, cut + junk]) + request[stop:]
    return request


async def test_a_client_that_hangs_up_is_no_fault_of_ours(broker_url: str, wires: list[Wire]) -> None:
    before = await faults(wires[0])
    head = b"POST /ngsi-ld/v1/entities HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    assert not await _answer(URL(broker_url), head + b'Content-Length: 99\r\n\r\n{"id":')
    assert await faults(wires[0]) == before


@given(maker=makers(), seed=st.integers(0, 2**64))
@settings(hurried, max_examples=3)
async def test_damaged_requests(broker_url: str, wires: list[Wire], maker: Maker, seed: int) -> None:
    await refused_or_answered(broker_url, wires[0], maker, Random(seed))


@pytest.mark.slow
@given(maker=makers(), seed=st.integers(0, 2**64))
@settings(hurried, max_examples=20)
async def test_many_damaged_requests(broker_url: str, wires: list[Wire], maker: Maker, seed: int) -> None:
    await refused_or_answered(broker_url, wires[0], maker, Random(seed))


async def refused_or_answered(root: str, wire: Wire, maker: Maker, dice: Random) -> None:
    """Sends damaged requests side by side, each on a connection of its own."""
    before = await faults(wire)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(_judge(URL(root), damaged(bytes(maker.request(TENANT)), dice)))
    assert await faults(wire) == before


async def _judge(root: URL, sent: bytes) -> None:
    async with asyncio.timeout(SECONDS):
        answer = await _answer(root, sent)
    statuses = [int(one) for one in _STATUS.findall(answer)]
    assert all(status < 500 or status in (503, 504) for status in statuses), (sent, answer)


async def _answer(root: URL, sent: bytes) -> bytes:
    """All that comes back until the broker hangs up."""
    reader, writer = await asyncio.open_connection(root.host, root.port)
    try:
        writer.write(sent)
        writer.write_eof()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()
