"""The queue of writes: it must neither lose one nor let two commits have one entity."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.core.errors import Unavailable
from broker.store.writes.queue import Queue, RequestOutcomes, Write

NOBODY = cast(RequestOutcomes, SimpleNamespace(settle=lambda place, outcome: None))


def write(entity: str, tenant: str = "") -> Write:
    return Write(tenant, entity, cast(Any, None), 0.0, NOBODY, 0)


def names(writes: list[Write]) -> list[str]:
    return [one.entity_id for one in writes]


def test_all_that_waits_for_an_entity_goes_together_and_nobody_else_gets_it() -> None:
    queue = Queue(100)
    queue.add([write("a"), write("b"), write("a")])
    assert names(queue.take(10)) == ["a", "a", "b"]
    queue.add([write("a"), write("c")])
    assert names(queue.take(10)) == ["c"]
    assert not queue.is_ready
    queue.release("", ["a", "b"])
    assert names(queue.take(10)) == ["a"]
    assert len(queue) == 0


def test_a_line_longer_than_a_group_is_continued_after_it() -> None:
    queue = Queue(100)
    queue.add([write("a") for _ in range(5)])
    assert len(queue.take(3)) == 3
    assert not queue.is_ready
    queue.release("", ["a"])
    assert len(queue.take(3)) == 2


def test_tenants_take_turns() -> None:
    queue = Queue(100)
    queue.add([write(f"a{n}", "a") for n in range(6)])
    queue.add([write("b0", "b"), write("c0", "c")])
    assert [queue.take(2)[0].tenant for _ in range(5)] == ["a", "b", "c", "a", "a"]


def test_too_many_are_refused_as_a_whole() -> None:
    queue = Queue(3)
    queue.add([write("a"), write("b")])
    with pytest.raises(Unavailable):
        queue.add([write("c"), write("d")])
    assert len(queue) == 2
    queue.add([write("c")])
    assert names(queue.take(10)) == ["a", "b", "c"]


def test_a_request_larger_than_the_limit_has_its_turn_when_nothing_else_waits() -> None:
    queue = Queue(3)
    queue.add([write(str(n)) for n in range(10)])
    assert len(queue) == 10


def test_what_is_given_back_comes_before_what_came_later() -> None:
    queue = Queue(100)
    first, second, third = write("a"), write("a"), write("a")
    queue.add([first, second])
    queue.take(10)
    queue.add([third])
    queue.give_back([first])
    queue.give_back([second])
    assert not queue.is_ready
    queue.release("", ["a"])
    assert queue.take(10) == [first, second, third]


def test_what_is_withdrawn_is_not_taken_and_leaves_the_others_in_order() -> None:
    queue = Queue(100)
    gone, stays, alone = write("a"), write("a"), write("b")
    queue.add([gone, stays, alone])
    queue.withdraw([gone, alone, write("c")])
    assert len(queue) == 1
    assert queue.take(10) == [stays]
    queue.withdraw([stays])
    assert (len(queue), queue.is_ready) == (0, False), "what was taken is no affair of the queue"
    queue.add([later := write("a")])
    queue.release("", ["a"])
    assert queue.take(10) == [later]


async def test_the_first_answer_to_a_write_counts() -> None:
    """Else a second one would stand for that of another write of the request, which would look done."""
    answer = RequestOutcomes(asyncio.get_running_loop().create_future(), 2)
    one, two = (Write("", "a", cast(Any, None), 0.0, answer, place) for place in (0, 1))
    one.settle("first")
    one.settle("again")
    assert not answer.future.done()
    two.settle("second")
    assert answer.future.done()
    assert answer.outcomes == ["first", "second"]


class Commits(RuleBasedStateMachine):
    """Groups taken, given back in part and released, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(50)
        self.waiting: dict[tuple[str, str], list[Write]] = {}
        self.groups: list[list[Write]] = []
        self.kept_back: list[tuple[str, str]] = []
        self.last_tenants: list[str] = []

    def busy(self) -> list[tuple[str, str]]:
        """Entities in some commit, or kept back."""
        in_groups = {(one.tenant, one.entity_id) for group in self.groups for one in group}
        return [*in_groups, *self.kept_back]

    @rule(tenant=st.sampled_from("xy"), entities=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
    def add(self, tenant: str, entities: list[str]) -> None:
        """A request."""
        writes = [write(one, tenant) for one in entities]
        is_full = len(self.queue) and len(self.queue) + len(writes) > 50
        try:
            self.queue.add(writes)
        except Unavailable:
            assert is_full
            return
        assert not is_full
        for one in writes:
            self.waiting.setdefault((tenant, one.entity_id), []).append(one)

    @precondition(lambda self: self.queue.is_ready)
    @rule(size=st.integers(1, 5))
    def take(self, size: int) -> None:
        """A commit begins."""
        free = {key[0] for key, line in self.waiting.items() if line and key not in self.busy()}
        group = self.queue.take(size)
        assert 1 <= len(group) <= size
        assert len({one.tenant for one in group}) == 1
        if len(free) == 2 and self.last_tenants:
            assert group[0].tenant != self.last_tenants[-1], "the other tenant has waited"
        self.last_tenants = [group[0].tenant] if len(free) == 2 else []
        for key in {(one.tenant, one.entity_id) for one in group}:
            assert key not in self.busy(), "an entity is in two commits"
            mine = [one for one in group if (one.tenant, one.entity_id) == key]
            assert mine == self.waiting[key][: len(mine)], "order of an entity's writes"
            del self.waiting[key][: len(mine)]
        self.groups.append(group)

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A commit ends; some entities are kept back."""
        group = self.groups.pop(data.draw(st.integers(0, len(self.groups) - 1)))
        tenant, ids = group[0].tenant, list(dict.fromkeys(names(group)))
        kept = data.draw(st.lists(st.sampled_from(ids), unique=True))
        for entity in kept:
            self.kept_back.append((tenant, entity))
            back = [one for one in group if one.entity_id == entity]
            self.queue.give_back(back)
            self.waiting.setdefault((tenant, entity), [])[:0] = back
        self.queue.release(tenant, set(ids) - set(kept))
        self.last_tenants = []

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """Somebody leaves: what waits is dropped, what is in a commit is not."""
        waiting = [one for line in self.waiting.values() for one in line]
        taken = [one for group in self.groups for one in group]
        gone = [one for one in (*waiting, *taken) if data.draw(st.booleans())]
        self.queue.withdraw(gone)
        for key, line in self.waiting.items():
            self.waiting[key] = [one for one in line if one not in gone]
        self.last_tenants = []

    @precondition(lambda self: self.kept_back)
    @rule()
    def again(self) -> None:
        """What was kept back may go again."""
        tenant, entity = self.kept_back.pop(0)
        self.queue.release(tenant, [entity])
        self.last_tenants = []

    @invariant()
    def nothing_is_lost(self) -> None:
        """What waits is counted, and what could go is ready."""
        assert len(self.queue) == sum(map(len, self.waiting.values()))
        busy = self.busy()
        assert self.queue.is_ready == any(line and key not in busy for key, line in self.waiting.items())


Commits.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
test_whatever_happens_order_and_exclusion_hold = Commits.TestCase
