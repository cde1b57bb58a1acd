"""Entries made into messages."""

from types import SimpleNamespace
from typing import Any, cast

import orjson

from broker.core.notification import subscriber
from broker.notify.messages import Messages
from broker.ports.changes import Entry
from tests.core.documents import CORE, NOW
from tests.notify.some import entry, subscription


async def message(one: Entry) -> tuple[dict[str, str], Any]:
    """The headers and the body of what is sent of an entry."""

    async def resolve(source: Any, tenant: str = "") -> Any:
        return CORE

    contexts = cast(Any, SimpleNamespace(resolve=resolve))
    messages = Messages(contexts, cast(Any, None), cast(Any, None))
    [sent] = [sent async for sent in messages.of(one, subscriber(subscription("a")), NOW)]
    return dict(sent.headers), orjson.loads(sent.body)


async def test_what_is_missing_is_said_in_a_header() -> None:
    one = entry(1)
    headers, whole = await message(one)
    assert "NGSILD-Warning" not in headers
    one.cut = "the previous values: too large to be kept for delivery"
    headers, body = await message(one)
    assert headers["NGSILD-Warning"] == '299 - "the previous values: too large to be kept for delivery"'
    assert body["data"] == whole["data"]
