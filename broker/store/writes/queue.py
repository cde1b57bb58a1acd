"""The queue of writes that wait for a commit. Decides which writes a group may take next; does no I/O."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from broker.core.entity.update import Rule
from broker.core.errors import Unavailable
from broker.core.temporal.revision import Revision

PATIENCE = 20.0  # seconds for which a write is retried, or the database may be away, before the answer is 503


class Write:
    """A queued write: one rule (or revision) for one entity, and the request that waits for its outcome.

    `is_alone`: no other write to its entity may be in its group. This holds for revisions, which need the
    stored past, and for writes that failed together, to find the one at fault. `born`: the time of its
    arrival (loop time, s); `position`: its index in the request; `number`: its rank in the order of arrival.
    """

    __slots__ = (
        "answer",
        "born",
        "entity_id",
        "is_alone",
        "is_settled",
        "number",
        "position",
        "rule",
        "tenant",
    )

    def __init__(
        self,
        tenant: str,
        entity_id: str,
        rule: Rule | Revision,
        born: float,
        answer: "RequestOutcomes",
        position: int,
    ) -> None:
        self.tenant = tenant
        self.entity_id = entity_id
        self.rule = rule
        self.is_alone = isinstance(rule, Revision)
        self.born = born
        self.answer = answer
        self.position = position
        self.is_settled = False
        self.number = 0

    def give_up_if_late(self) -> None:
        """Answers Unavailable if the result of the commit has been unknown for too long."""
        if not self.is_settled and asyncio.get_running_loop().time() - self.born > PATIENCE:
            self.settle(Unavailable("the database does not say whether the write went through"))

    @property
    def key(self) -> tuple[str, str]:
        """(tenant, entity id)."""
        return self.tenant, self.entity_id

    @property
    def is_wanted(self) -> bool:
        """Whether a request still waits for the outcome."""
        return not self.answer.future.cancelled()

    def settle(self, outcome: Any) -> None:
        """Gives the outcome, an answer or an exception, to the request. Only the first call counts."""
        if not self.is_settled:
            self.is_settled = True
            self.answer.settle(self.position, outcome)


class RequestOutcomes:
    """The outcomes of the writes of one request. `future` is done when all outcomes are present.

    The future is cancelled if the requester has left. Writes refer to this object, not the reverse: a
    reference cycle would have to wait for the garbage collector.
    """

    __slots__ = ("_left", "future", "outcomes")

    def __init__(self, future: asyncio.Future[None], size: int) -> None:
        self.future = future
        self.outcomes: list[Any] = [None] * size
        self._left = size

    def settle(self, position: int, outcome: Any) -> None:
        """Sets the outcome of the write at index `position`."""
        self.outcomes[position] = outcome
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(None)


class Queue:
    """A queue of writes: in order of arrival for each entity; `limit` bounds their number.

    An entity is busy from `take` until `release`, so it is never in two commits at once. A commit takes all
    queued writes of an entity together, except those that have to be alone. Tenants take turns.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._waiting: dict[tuple[str, str], deque[Write]] = {}
        self._ready: dict[str, OrderedDict[str, None]] = {}
        self._busy: set[tuple[str, str]] = set()
        self._numbers = count()

    def __len__(self) -> int:
        return self._size

    @property
    def is_ready(self) -> bool:
        """Whether there is a write of an entity that is not busy."""
        return bool(self._ready)

    def add(self, writes: list[Write]) -> None:
        """Adds writes to the queue; Unavailable if they exceed the limit."""
        if self._size and self._size + len(writes) > self._limit:
            raise Unavailable("too many writes are waiting; try again shortly")
        self._size += len(writes)
        for write in writes:
            write.number = next(self._numbers)
            key = write.key
            if (line := self._waiting.get(key)) is not None:
                line.append(write)
                continue
            self._waiting[key] = deque((write,))
            if key not in self._busy:
                self._ready.setdefault(write.tenant, OrderedDict())[write.entity_id] = None

    def take(self, size: int) -> list[Write]:
        """Removes and returns up to `size` writes of one tenant; marks their entities as busy."""
        tenant = next(iter(self._ready))
        ready = self._ready.pop(tenant)
        taken: list[Write] = []
        while ready and len(taken) < size:
            key = (tenant, ready.popitem(last=False)[0])
            self._busy.add(key)
            line = self._waiting[key]
            taken.append(line.popleft())
            while line and len(taken) < size and not (taken[-1].is_alone or line[0].is_alone):
                taken.append(line.popleft())
            if not line:
                del self._waiting[key]
        if ready:
            self._ready[tenant] = ready  # at the end of the dict: it is the turn of the other tenants
        self._size -= len(taken)
        return taken

    def give_back(self, writes: list[Write]) -> None:
        """Puts taken writes back at their old positions. Their entities stay busy until `release`."""
        self._size += len(writes)
        for key in {write.key for write in writes}:
            line = [write for write in writes if write.key == key]
            line += self._waiting.get(key, ())
            self._waiting[key] = deque(sorted(line, key=lambda write: write.number))

    def withdraw(self, writes: Sequence[Write]) -> None:
        """Removes those of the writes that are still queued. Writes in a commit are not affected."""
        gone = {id(write) for write in writes}
        for key in {write.key for write in writes if write.key in self._waiting}:
            before = self._waiting[key]
            line = deque(write for write in before if id(write) not in gone)
            self._size -= len(before) - len(line)
            if line:
                self._waiting[key] = line
            else:
                self._forget(*key)

    def _forget(self, tenant: str, entity_id: str) -> None:
        """Removes an entity that has no queued writes left."""
        del self._waiting[tenant, entity_id]
        if (ready := self._ready.get(tenant)) is not None:
            ready.pop(entity_id, None)
            if not ready:
                del self._ready[tenant]

    def release(self, tenant: str, entity_ids: Iterable[str]) -> None:
        """Ends the busy state of entities: their next writes may be taken."""
        for entity_id in entity_ids:
            key = (tenant, entity_id)
            self._busy.remove(key)
            if key in self._waiting:
                self._ready.setdefault(tenant, OrderedDict())[entity_id] = None
