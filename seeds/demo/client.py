"""A small NGSI-LD client for the programs of the city. It uses plain JSON and the core @context only."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

from seeds.demo.clock import stamp

API = "/ngsi-ld/v1"
ATTEMPTS = 5  # of a request, while the broker responds with 503


class DemoError(Exception):
    """An error to show to a person; its message is one sentence."""


class BrokerError(DemoError):
    """The broker refused a request, or did not respond."""


@dataclass(frozen=True)
class Reply:
    """The parts of a response that the programs use."""

    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """Requests to one broker."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url.rstrip("/")

    async def get(self, path: str, **params: str | int) -> Reply:
        return await self.ask("GET", path, params=params)

    async def post(self, path: str, body: Any, **params: str | int) -> Reply:
        return await self.ask("POST", path, body=body, params=params)

    async def patch(self, path: str, body: Any) -> Reply:
        return await self.ask("PATCH", path, body=body)

    async def forget(self, path: str) -> None:
        """Deletes a resource if it exists."""
        await self.ask("DELETE", path, accepted=(404,))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: dict[str, str | int] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Reply:
        """The response to a request, which is retried after a 503.

        BrokerError for any other refusal, except the statuses in `accepted`.
        """
        for attempt in range(1, ATTEMPTS + 1):
            reply = await self.once(method, path, body, params)
            if reply.status != 503 or attempt == ATTEMPTS:
                break
            await asyncio.sleep(float(reply.headers.get("Retry-After", 1)))
        if reply.status == 207 or (reply.status >= 400 and reply.status not in accepted):
            raise BrokerError(refusal(method, path, reply))
        return reply

    async def once(self, method: str, path: str, body: Any, params: Any) -> Reply:
        sent = {"json": body} if body is not None else {}
        try:
            async with self.session.request(method, self.url + API + path, params=params, **sent) as response:
                return Reply(response.status, dict(response.headers), parsed(await response.read()))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BrokerError(
                f"no answer from {self.url} to {method} {path}: {error or 'timeout'}"
            ) from error


def parsed(content: bytes) -> Any:
    """The body as JSON, or as text if it is not JSON."""
    try:
        return json.loads(content) if content else None
    except ValueError:
        return content.decode(errors="replace")


def refusal(method: str, path: str, reply: Reply) -> str:
    """One sentence that describes a ProblemDetails or a failed batch result."""
    body = reply.body if isinstance(reply.body, dict) else {"detail": reply.body}
    reasons = [str(body[member]) for member in ("title", "detail", "errors") if body.get(member)]
    return f"the broker answered {reply.status} to {method} {path}: {'; '.join(reasons) or 'no reason given'}"


def observed(value: Any, when: datetime, unit: str | None = None) -> dict[str, Any]:
    """A Property that was observed at a time."""
    members = {"type": "Property", "value": value, "observedAt": stamp(when)}
    return members | ({"unitCode": unit} if unit else {})
