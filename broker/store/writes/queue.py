"""The writes that wait: which may go into a commit next. Pure bookkeeping, no I/O."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from broker.core.entity.update import Rule
from broker.core.errors import Unavailable
from broker.core.temporal.revision import Revision

PATIENCE = 20.0  # seconds that a write may lose races, or the database be away, before it is answered 503


class Write:
    """One rule to apply to one entity, or a revision of its past, and who waits for the answer.

    `is_alone`: it shares a group with no other write to its entity. A revision is, since it is about what
    there is in the database; and so is a write that failed together with others, which may be innocent.
    """

    __slots__ = (
        "answer",
        "born",
        "entity_id",
        "is_alone",
        "is_settled",
        "number",
        "place",
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
        place: int,
    ) -> None:
        self.tenant = tenant
        self.entity_id = entity_id
        self.rule = rule
        self.is_alone = isinstance(rule, Revision)
        self.born = born
        self.answer = answer
        self.place = place
        self.is_settled = False
        self.number = 0

    def give_up_if_late(self) -> None:
        """Lets the requester go, if nobody has known for long whether the write went through."""
        if not self.is_settled and asyncio.get_running_loop().time() - self.born > PATIENCE:
            self.settle(Unavailable("the database does not say whether the write went through"))

    @property
    def key(self) -> tuple[str, str]:
        """The tenant and the entity."""
        return self.tenant, self.entity_id

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for the answer still."""
        return not self.answer.future.cancelled()

    def settle(self, outcome: Any) -> None:
        """Gives the answer, or the exception, to who waits for it; the first one counts."""
        if not self.is_settled:
            self.is_settled = True
            self.answer.settle(self.place, outcome)


class RequestOutcomes:
    """The answers to the writes of one request; `future` is done when all are there.

    It is cancelled if the requester is gone. There is no list of the writes here: they name their answer,
    and a cycle would be left to the collector.
    """

    __slots__ = ("_left", "future", "outcomes")

    def __init__(self, future: asyncio.Future[None], size: int) -> None:
        self.future = future
        self.outcomes: list[Any] = [None] * size
        self._left = size

    def settle(self, place: int, outcome: Any) -> None:
        """Takes the answer to one of the writes."""
        self.outcomes[place] = outcome
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(None)


class Queue:
    """Writes in order of arrival, by entity.

    An entity whose writes were taken is busy until it is released: it is never in two commits at once,
    and all that waits for it goes into the same one, but for what has to be alone. Tenants take turns.
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
        """Whether there is a write that may be taken now."""
        return bool(self._ready)

    def add(self, writes: list[Write]) -> None:
        """Takes the writes in; Unavailable if too many wait already."""
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
        """Up to `size` writes of one tenant whose entities nobody else has; their entities are busy now."""
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
            self._ready[tenant] = ready  # at the end: the other tenants are first now
        self._size -= len(taken)
        return taken

    def give_back(self, writes: list[Write]) -> None:
        """Puts writes that were taken back where they were; their entities stay busy."""
        self._size += len(writes)
        for key in {write.key for write in writes}:
            line = [write for write in writes if write.key == key]
            line += self._waiting.get(key, ())
            self._waiting[key] = deque(sorted(line, key=lambda write: write.number))

    def withdraw(self, writes: Sequence[Write]) -> None:
        """Takes out those of the writes that wait here; those in a commit stay there."""
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
        """Nothing waits for an entity any more."""
        del self._waiting[tenant, entity_id]
        if (ready := self._ready.get(tenant)) is not None:
            ready.pop(entity_id, None)
            if not ready:
                del self._ready[tenant]

    def release(self, tenant: str, entity_ids: Iterable[str]) -> None:
        """Says that these entities are in no commit any more."""
        for entity_id in entity_ids:
            key = (tenant, entity_id)
            self._busy.remove(key)
            if key in self._waiting:
                self._ready.setdefault(tenant, OrderedDict())[entity_id] = None
