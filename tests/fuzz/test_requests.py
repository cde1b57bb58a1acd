"""Requests of all kinds at once: every one gets an answer, in time, and none of them a 5xx."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.strategies import SINK, Maker, makers
from tests.fuzz.wire import Request, Wire, send_all

TENANT = "fuzz"
AT_ONCE = 200

hurried = settings(
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@given(maker=makers())
@settings(hurried, max_examples=3)
async def test_every_request_is_answered(wires: list[Wire], sink: str, maker: Maker) -> None:
    await answered(wires, sink, maker)


@pytest.mark.slow
@given(maker=makers())
@settings(hurried, max_examples=20)
async def test_every_one_of_many_requests_is_answered(wires: list[Wire], sink: str, maker: Maker) -> None:
    await answered(wires, sink, maker)


async def answered(wires: list[Wire], sink: str, maker: Maker) -> None:
    """Sends them; the connections check what comes back. The broker is ready for more then."""
    some = [_rendered(maker.request(TENANT), sink) for _ in range(AT_ONCE)]
    replies = await send_all(wires, some)
    assert len(replies) == len(some)
    [ready] = await send_all(wires[:1], [Request("GET", "/health/ready")])
    assert ready.status == 200


def _rendered(request: Request, sink: str) -> Request:
    if request.body is None or SINK.encode() not in request.body:
        return request
    body = request.body.replace(SINK.encode(), sink.encode())
    headers = tuple(
        (name, str(len(body)) if name == "Content-Length" else value) for name, value in request.headers
    )
    return replace(request, body=body, headers=headers)
