"""Large bodies come in a few at a time."""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import web

from broker.api import admission
from broker.api.admission import Admission
from broker.api.problem import HttpError, TooLarge
from broker.core.errors import Unavailable


class Request:
    """A request whose body comes when `came` is set."""

    def __init__(self, size: int) -> None:
        self.content_length = size
        self.came = asyncio.Event()

    async def read(self) -> bytes:
        """The body."""
        await self.came.wait()
        return b""


def request(size: int = 10, *, came: bool = True) -> Any:
    one = Request(size)
    if came:
        one.came.set()
    return cast(web.BaseRequest, one)


async def test_a_few_come_in_and_the_others_wait_in_order() -> None:
    doors, inside, leave = Admission(10), [], asyncio.Event()

    async def visit(number: int) -> None:
        async with doors.of(request()):
            inside.append(number)
            await leave.wait()

    visits = [asyncio.create_task(visit(number)) for number in range(10)]
    await asyncio.sleep(0.01)
    assert inside == [0, 1, 2, 3]
    leave.set()
    await asyncio.gather(*visits)
    assert inside == [*range(10)]


async def test_who_waits_for_too_long_may_try_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_PATIENCE", 0.01)
    doors = Admission(10)
    slow = [asyncio.create_task(doors.of(request(came=False)).__aenter__()) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        async with doors.of(request()):
            pass
    for one in slow:
        one.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    async with doors.of(request()):
        pass


async def test_a_body_that_does_not_come_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_UPLOAD", 0.01)
    doors = Admission(10)
    for _ in range(5):
        with pytest.raises(HttpError) as error:
            async with doors.of(request(came=False)):
                pass
        assert error.value.status == 408


async def test_what_is_too_large_is_not_even_read() -> None:
    with pytest.raises(TooLarge):
        async with Admission(10).of(request(11, came=False)):
            pass
