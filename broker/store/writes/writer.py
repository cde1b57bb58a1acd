"""The writer: takes what waits, commits it in groups, and sees each write through to its answer.

Two or three groups are on their way at once. A write that lost a race is alone in being tried again, after a
while, with its entity kept back and its place in the group free for others. A write waits for company only
while another group is on its way, and then not for long; none waits for ever.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.core.entity.update import Rule
from broker.core.errors import Unavailable
from broker.core.temporal.revision import Revision
from broker.store.wire.tenants import Tenant, Tenants
from broker.store.writes.commit import Again, Committer, Sessions
from broker.store.writes.guarded import Away, Guarded
from broker.store.writes.queue import PATIENCE, Queue, RequestOutcomes, Write

log = logging.getLogger(__name__)
_PAUSE = 0.01  # seconds between looks for whether all is done
_AHEAD = 4  # pieces of one batch, each of a group's size, that wait for a commit at once
_LEAST = 8  # writes that are worth a group of their own
_COMPANY = 0.02  # seconds that fewer writes than their share wait for others while a group is on its way

Piece = tuple[RequestOutcomes, list[Write]]  # the writes of one request that went into the queue together


class Writer:
    """Every write of this process to entities, their history and the outbox."""

    def __init__(self, tenants: Tenants, committer: Committer, *, group: int, limit: int) -> None:
        self._tenants = tenants
        self._committer = committer
        self._most = group
        self._queue = Queue(limit)
        self._free: list[Sessions] = []
        self._running: dict[asyncio.Task[None], int] = {}  # groups on their way, and how many writes they are
        self._scheduled = False
        self._late: asyncio.TimerHandle | None = None

    def open(self, client: AsyncMongoClient[dict[str, Any]], in_flight: int) -> list[AsyncClientSession]:
        """Begins to commit, `in_flight` groups at once. Gives the sessions on which transactions run."""
        self._free = [
            Sessions(Guarded(client), Guarded(client), client.start_session()) for _ in range(in_flight)
        ]
        return [sessions.transactions for sessions in self._free]

    async def close(self) -> None:
        """Waits for the groups on their way; what still queues, or was kept back, is answered by them too."""
        while self._running or self._queue:
            self._start()
            await asyncio.sleep(_PAUSE)
        for sessions in self._free:
            await sessions.close()

    @property
    def waiting(self) -> int:
        """How many writes wait for a commit."""
        return len(self._queue)

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """See `ports.EntityStore.change`."""
        outcome = (await self.change_many(tenant, ((entity_id, rule),)))[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """See `ports.EntityStore.change_many`. A long batch goes in piece by piece: others get in between."""
        if not changes:
            return []
        pieces = [self._add(tenant, changes[: self._most])]
        try:
            for n in range(self._most, len(changes), self._most):
                if len(pieces) >= _AHEAD:
                    await pieces[-_AHEAD][0].future
                pieces.append(await self._add_later(tenant, changes[n : n + self._most]))
            for answer, _ in pieces:
                await answer.future
        except asyncio.CancelledError:
            self._withdraw(pieces)
            raise
        return [outcome for answer, _ in pieces for outcome in answer.outcomes]

    def _withdraw(self, pieces: list[Piece]) -> None:
        """The requester is gone: what no commit has begun to write is dropped."""
        for answer, writes in pieces:
            answer.future.cancel()
            self._queue.withdraw(writes)

    def _add(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> Piece:
        """Has changes wait for a commit; Unavailable if too many wait already."""
        loop = asyncio.get_running_loop()
        answer, now = RequestOutcomes(loop.create_future(), len(changes)), loop.time()
        writes = [Write(tenant, one, rule, now, answer, n) for n, (one, rule) in enumerate(changes)]
        self._queue.add(writes)
        self._wake()
        return answer, writes

    async def _add_later(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> Piece:
        """The same for a later piece of a batch: it waits for room; if there is none for long, it fails."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while True:
            try:
                return self._add(tenant, changes)
            except Unavailable as full:
                if loop.time() > end:
                    return _failed(len(changes), full)
            await asyncio.sleep(_PAUSE)

    def _wake(self) -> None:
        """Starts groups once this turn of the loop is over, with all that came in during it."""
        if self._free and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        """Starts groups, each with its share of all that is on its way or waits."""
        self._scheduled = False
        while self._free and self._queue.is_ready:
            share = self._share
            if self._running and len(self._queue) < share:
                return self._start_soon()
            self._launch(max(share, _LEAST))

    @property
    def _share(self) -> int:
        """How many writes a group takes if all are of one size: a small one costs what a large one does."""
        writes = len(self._queue) + sum(self._running.values())
        return min(self._most, -(-writes // (len(self._free) + len(self._running))))

    def _start_soon(self) -> None:
        """Has what waits for company start without it, unless a group that ends takes it before."""
        if self._late is None:
            self._late = asyncio.get_running_loop().call_later(_COMPANY, self._start_late)

    def _start_late(self) -> None:
        self._late = None
        if self._free and self._queue.is_ready:
            self._launch(max(self._share, _LEAST))
        self._start()

    def _launch(self, size: int) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        writes = self._queue.take(size)
        task = asyncio.create_task(self._run(self._free.pop(), writes))
        self._running[task] = len(writes)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._start()

    async def _run(self, sessions: Sessions, writes: list[Write]) -> None:
        tenant = writes[0].tenant
        kept_back: set[str] = set()
        try:
            handle = await self._tenants.obtain(tenant)
            await self._commit(sessions, handle, [write for write in writes if write.is_wanted], kept_back)
        except Exception as error:
            _fail(writes, error)
        finally:
            self._queue.release(tenant, {write.entity_id for write in writes} - kept_back)
            self._free.append(sessions)

    async def _commit(
        self, sessions: Sessions, tenant: Tenant, writes: list[Write], kept_back: set[str]
    ) -> None:
        """Commits a group; every write is answered or kept back afterwards.

        What goes wrong in a way that nobody foresaw may be due to one of the writes: each is tried by itself.
        """
        if not writes:
            return
        try:
            self._answer(writes, await self._committer.commit(sessions, tenant, writes), kept_back)
        except Away as away:
            self._try_later(writes, kept_back, away)
        except Exception as error:
            if len(writes) == 1:
                log.exception("a commit failed in an unforeseen way", extra={"entity": writes[0].entity_id})
                return _fail(writes, error)
            await self._commit_apart(sessions, tenant, writes, kept_back)

    async def _commit_apart(
        self, sessions: Sessions, tenant: Tenant, writes: list[Write], kept_back: set[str]
    ) -> None:
        """Commits writes one by one; none before an earlier one to its entity that is kept back."""
        for write in writes:
            if write.entity_id in kept_back:
                self._queue.give_back([write])
            else:
                await self._commit(sessions, tenant, [write], kept_back)

    def _answer(self, writes: list[Write], outcomes: list[Any], kept_back: set[str]) -> None:
        """Gives the writes of a group their answers; those that have none yet are tried again."""
        again: dict[str, list[Write]] = {}
        why: Exception = Again()
        for write, outcome in zip(writes, outcomes, strict=True):
            if isinstance(outcome, Again | Away):
                again.setdefault(write.entity_id, []).append(write)
                why = outcome
            else:
                write.settle(outcome)
        for some in again.values():
            self._try_later(some, kept_back, why)

    def _try_later(self, writes: list[Write], kept_back: set[str], why: Exception) -> None:
        """Puts writes back for a moment; gives those up that have been at it for too long."""
        loop = asyncio.get_running_loop()
        late = [write for write in writes if loop.time() - write.born > PATIENCE]
        reason = str(why) if isinstance(why, Away) else "others were faster each time"
        _fail(late, Unavailable(f"the write could not be committed in {PATIENCE:.0f} s: {reason}"))
        again = [one for one in writes if one.is_wanted and loop.time() - one.born <= PATIENCE]
        if again:
            ids = {write.entity_id for write in again}
            kept_back |= ids
            self._queue.give_back(again)
            age = loop.time() - min(write.born for write in again)
            loop.call_later(random.uniform(0.002, 0.01 + min(age, 1) / 4), self._again, again[0].tenant, ids)

    def _again(self, tenant: str, ids: set[str]) -> None:
        self._queue.release(tenant, ids)
        self._start()


def _failed(size: int, error: Exception) -> Piece:
    """The answer to writes that all failed."""
    answer = RequestOutcomes(asyncio.get_running_loop().create_future(), size)
    for place in range(size):
        answer.settle(place, error)
    return answer, []


def _fail(writes: list[Write], error: Exception) -> None:
    for write in writes:
        write.settle(error)
