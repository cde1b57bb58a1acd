"""The writer: takes queued writes, commits them in groups, and gives each write its outcome.

Two or three groups are committed at the same time. A write that conflicts is retried after a short pause; the
other writes of its group are not affected, and its entity stays busy until then. While no group is running,
a write starts at once; else it may wait up to 20 ms for more writes, so that groups get larger.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

from broker.core.entity.update import Rule
from broker.core.errors import Unavailable
from broker.core.temporal.revision import Revision
from broker.store.wire.tenants import Tenant, Tenants
from broker.store.writes.commit import Again, Committer, Sessions
from broker.store.writes.guarded import Away, Guarded
from broker.store.writes.queue import PATIENCE, Queue, RequestOutcomes, Write

log = logging.getLogger(__name__)
_PAUSE = 0.01  # seconds between checks, of a queue that is full or of groups that are running
_AHEAD = 4  # pieces of one batch, each of a group's size, that are in the queue at the same time
_LEAST = 8  # writes in a group, if there are as many, even if the share is smaller
_COMPANY = 0.02  # seconds that fewer writes than a share wait for more while a group is running

Piece = tuple[RequestOutcomes, list[Write]]  # writes of one request that were queued together, and outcomes


class Writer:
    """All writes of one process to entities and their evolutions.

    `group`: the most writes in a group; `limit`: the most writes in the queue.
    """

    def __init__(
        self, tenants: Tenants, committer: Committer, *, group: int, limit: int, in_flight: int = 2
    ) -> None:
        self._tenants = tenants
        self._committer = committer
        self._most = group
        self._queue = Queue(limit)
        client = tenants.client
        self._free = [
            Sessions(Guarded(client), Guarded(client), client.start_session()) for _ in range(in_flight)
        ]
        self.sessions = [sessions.transactions for sessions in self._free]
        self._running: dict[asyncio.Task[None], int] = {}  # running groups, with their numbers of writes
        self._scheduled = False
        self._late: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Commits all queued writes, waits for the running groups, and closes the sessions."""
        while self._running or self._queue:
            self._start()
            await asyncio.sleep(_PAUSE)
        for sessions in self._free:
            await sessions.close()

    @property
    def waiting(self) -> int:
        """The number of queued writes."""
        return len(self._queue)

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """See `ports.EntityStore.change`."""
        outcome = (await self.change_many(tenant, ((entity_id, rule),)))[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """See `ports.EntityStore.change_many`. Queues a long batch in pieces, so that others get a turn."""
        if not changes:
            return []
        pieces = [self._add(tenant, changes[: self._most])]
        try:
            for n in range(self._most, len(changes), self._most):
                if len(pieces) >= _AHEAD:
                    await pieces[-_AHEAD][0].future
                pieces.append(await self._add_later(tenant, changes[n : n + self._most]))
            for outcomes, _ in pieces:
                await outcomes.future
        except asyncio.CancelledError:
            self._withdraw(pieces)
            raise
        return [outcome for outcomes, _ in pieces for outcome in outcomes.outcomes]

    def _withdraw(self, pieces: list[Piece]) -> None:
        """Drops the writes of a requester that has left, except those already in a commit."""
        for outcomes, writes in pieces:
            outcomes.future.cancel()
            self._queue.withdraw(writes)

    def _add(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> Piece:
        """Queues changes; Unavailable if the queue is full."""
        loop = asyncio.get_running_loop()
        outcomes, now = RequestOutcomes(loop.create_future(), len(changes)), loop.time()
        writes = [
            Write(tenant, entity_id, rule, now, outcomes, n) for n, (entity_id, rule) in enumerate(changes)
        ]
        self._queue.add(writes)
        self._wake()
        return outcomes, writes

    async def _add_later(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> Piece:
        """Queues a later piece of a batch. Waits while the queue is full; after 20 s, the piece fails."""
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
        """Schedules a start of groups after this iteration of the event loop, with all writes of it."""
        if self._free and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        """Starts groups while there are free sessions, each with a share of the writes."""
        self._scheduled = False
        while self._free and self._queue.is_ready:
            share = self._share
            if self._running and len(self._queue) < share:
                return self._start_soon()
            self._launch(max(share, _LEAST))

    @property
    def _share(self) -> int:
        """The size of a group if all groups had the same size. A small group costs as much as a large one."""
        writes = len(self._queue) + sum(self._running.values())
        return min(self._most, -(-writes // (len(self._free) + len(self._running))))

    def _start_soon(self) -> None:
        """Schedules a start of a smaller group, in case no group ends before and takes the writes."""
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
        """Commits a group, releases its entities, and frees its sessions."""
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
        """Commits a group. Afterwards, each write has its outcome or waits for a retry.

        `kept_back` collects the ids of entities that wait for a retry. After an unexpected error, which any
        of the writes may have caused, each write is committed alone.
        """
        if not writes:
            return
        try:
            self._answer(writes, await self._committer.commit(sessions, tenant, writes), kept_back)
        except Away as away:
            self._retry_later(writes, kept_back, away)
        except Exception as error:
            if len(writes) == 1:
                log.exception("a commit failed unexpectedly", extra={"entity": writes[0].entity_id})
                return _fail(writes, error)
            await self._commit_apart(sessions, tenant, writes, kept_back)

    async def _commit_apart(
        self, sessions: Sessions, tenant: Tenant, writes: list[Write], kept_back: set[str]
    ) -> None:
        """Commits writes one by one. If a write waits for a retry, later ones of its entity wait, too."""
        for write in writes:
            if write.entity_id in kept_back:
                self._queue.give_back([write])
            else:
                await self._commit(sessions, tenant, [write], kept_back)

    def _answer(self, writes: list[Write], outcomes: list[Any], kept_back: set[str]) -> None:
        """Gives the writes of a group their outcomes; schedules retries of those that conflicted."""
        retries: dict[str, list[Write]] = {}
        why: Exception = Again()
        for write, outcome in zip(writes, outcomes, strict=True):
            if isinstance(outcome, Again | Away):
                retries.setdefault(write.entity_id, []).append(write)
                why = outcome
            else:
                write.settle(outcome)
        for of_entity in retries.values():
            self._retry_later(of_entity, kept_back, why)

    def _retry_later(self, writes: list[Write], kept_back: set[str], why: Exception) -> None:
        """Puts writes back into the queue for a retry after a pause; fails those older than `PATIENCE`."""
        loop = asyncio.get_running_loop()
        late = [write for write in writes if loop.time() - write.born > PATIENCE]
        reason = str(why) if isinstance(why, Away) else "others were faster each time"
        _fail(late, Unavailable(f"the write could not be committed in {PATIENCE:.0f} s: {reason}"))
        retried = [write for write in writes if write.is_wanted and loop.time() - write.born <= PATIENCE]
        if retried:
            ids = {write.entity_id for write in retried}
            kept_back |= ids
            self._queue.give_back(retried)
            age = loop.time() - min(write.born for write in retried)
            pause = random.uniform(0.002, 0.01 + min(age, 1) / 4)
            loop.call_later(pause, self._retry, retried[0].tenant, ids)

    def _retry(self, tenant: str, ids: set[str]) -> None:
        self._queue.release(tenant, ids)
        self._start()


def _failed(size: int, error: Exception) -> Piece:
    """A piece of `size` writes that all failed with an error."""
    outcomes = RequestOutcomes(asyncio.get_running_loop().create_future(), size)
    for position in range(size):
        outcomes.settle(position, error)
    return outcomes, []


def _fail(writes: list[Write], error: Exception) -> None:
    for write in writes:
        write.settle(error)
