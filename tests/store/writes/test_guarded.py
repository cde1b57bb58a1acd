"""Guarded commands whose replies get lost.

The replies are scripted here, since a real server cannot be made to vanish between two halves of a command.
"""

from typing import Any, cast

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ExecutionTimeout, PyMongoError, ServerSelectionTimeoutError

from broker.store.wire.tenants import Collection
from broker.store.writes import guarded
from broker.store.writes.guarded import Away, Guarded

DONE = {"ok": 1}


class Server:
    """A collection whose database gives these outcomes in turn, and notes the statements that it was sent."""

    name = "entities"

    def __init__(self, *outcomes: dict[str, Any] | PyMongoError) -> None:
        self._outcomes = list(outcomes)
        self.sent: list[list[int]] = []

    @property
    def database(self) -> "Server":
        """Stands for the database, too."""
        return self

    async def command(self, command: dict[str, Any], session: Any) -> dict[str, Any]:
        """Gives the next outcome."""
        self.sent.append(command["stmtIds"])
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, PyMongoError):
            raise outcome
        return outcome


async def update(server: Server, statements: int) -> tuple[dict[int, guarded.Failed], int]:
    """The failures, and how often the result was unknown."""
    doubts: list[None] = []
    async with AsyncMongoClient[dict[str, Any]](connect=False) as client:
        updates: list[dict[str, Any]] = [{"q": {}, "u": {}}] * statements
        failed = await Guarded(client).update(cast(Collection, server), updates, lambda: doubts.append(None))
    return failed, len(doubts)


async def test_what_was_not_sent_was_not_written() -> None:
    with pytest.raises(Away):
        await update(Server(ServerSelectionTimeoutError("no server")), 2)


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_half_is_retried_until_its_result_is_known(
    monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """The server may have executed statements before a lock stopped it: nobody may call them not written."""
    monkeypatch.setattr(guarded, "_PAUSE", 0.0)
    halves: list[dict[str, Any] | PyMongoError] = [DONE, DONE]
    halves.insert(lost, ServerSelectionTimeoutError("no server"))
    server = Server(ExecutionTimeout("a lock", 50), *halves)
    assert await update(server, 2) == ({}, 1)
    assert server.sent == [[0, 1], [0], *([[0], [1]] if lost == 0 else [[1], [1]])]
