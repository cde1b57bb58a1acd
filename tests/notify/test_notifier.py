"""The notifier: an order that holds across processes, and heirs who lose nothing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine_base import Bounds
from broker.core.errors import Unavailable
from broker.core.subscription import Subscription
from broker.notify.backlog import Backlog
from broker.notify.deliverer import Deliverer
from broker.notify.delivery_settings import DeliverySettings
from broker.notify.index import Index
from broker.notify.lane import Retry
from broker.notify.messages import Messages
from broker.notify.notifier import Notifier
from broker.ports.changes import SubscriptionChanges
from broker.ports.delivery import DeliveryFailed, Message
from tests.clocks import SetClock
from tests.core.documents import CORE
from tests.notify.some import MINE, OTHER, Outbox, Shelf, Subscriptions, entry, subscription, until


class Sender:
    """Takes everything but what goes to an endpoint that is down."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.taken: list[tuple[str, str, int]] = []

    async def send(self, message: Message, seconds: float) -> None:
        """Takes a message."""
        await asyncio.sleep(0)
        if message.uri in self.down:
            raise DeliveryFailed("down")
        body = orjson.loads(message.body)
        [data] = body["data"]
        self.taken.append((body["subscriptionId"][6:], data["id"][6:], data["n"]["value"]))

    async def close(self) -> None: ...

    def told(self, who: str, of: str = "1") -> list[int]:
        """What a subscription was told of an entity."""
        return [n for one, name, n in self.taken if (one, name) == (who, of)]


async def no_links(*_: object) -> list[Any]:
    """No entity links to another."""
    return []


class Process:
    """A notifier with everything around it in memory; several may share a shelf."""

    def __init__(
        self,
        *known: Subscription,
        lane_limit: int = 100,
        name: str = MINE,
        shelf: Shelf | None = None,
    ) -> None:
        self.outbox, self.sender, self.store = Outbox(name, shelf), Sender(), Subscriptions(*known)
        self.name = name
        self.indexes: dict[str, Index] = {}

        async def resolve(source: Any, tenant: str = "") -> Any:
            return CORE

        self.memory = Memory(1000, lane_limit, 4)
        contexts = cast(Any, SimpleNamespace(resolve=resolve, core=CORE))
        backlog = Backlog(self.outbox, 10_000)
        retry = Retry(0.001, 0.01, 1e12)
        means = DeliverySettings(name, self.memory, Bounds(), retry, concurrency=4, timeout=1)
        self.deliverer = Deliverer(
            self.indexes,
            self.outbox,
            backlog,
            Messages(contexts, no_links, cast(Any, None)),
            {"http": self.sender},
            means,
            SetClock(lambda: 0),
        )
        self.notifier = Notifier(self.indexes, self.store, self.outbox, self.deliverer, backlog)

    async def ready(self) -> "Process":
        """Knows the subscriptions."""
        await self.notifier.at_epoch("", 1)
        return self

    def commit(self, rev: int, of: str = "1", due: Sequence[str] = ("a",)) -> None:
        """A change made by this process."""
        self.notifier.committed(*self.outbox.add(entry(rev, of, due, by=self.name)))

    async def adopt(self, dead: str = OTHER) -> None:
        """Takes over all that another process has."""

        async def inherit() -> bool:
            await asyncio.sleep(0)
            self.outbox.adopt(dead)
            return True

        await self.notifier.adopt(inherit, _tenants)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is under way, or held in memory."""
        is_busy = self.deliverer.busy or self.deliverer._sending or self.memory.held
        return not is_busy and not self.outbox.entries


async def _tenants() -> list[str]:
    return [""]


THIRD = "c" * 16
A, B = subscription("a", "http://a/"), subscription("b", "http://b/")


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    one = await Process(A, B).ready()
    yield one
    await one.notifier.close()


async def test_what_another_process_has_not_told_yet_comes_first(process: Process) -> None:
    earlier = process.outbox.add(entry(1, by=OTHER))[0]
    process.commit(2)
    process.commit(3)
    process.commit(4, "2")
    await until(lambda: process.sender.told("a", "2") == [4])
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == []
    process.outbox.shelf.remove(earlier)
    await until(lambda: process.sender.told("a") == [2, 3])
    await until(lambda: not process.outbox.entries)


async def test_two_processes_that_take_turns_on_one_entity(process: Process) -> None:
    """Each entry waits for the one before it, not only the first one that found the other busy."""
    first = process.outbox.add(entry(1, by=OTHER))[0]
    process.commit(2)
    second = process.outbox.add(entry(3, by=OTHER))[0]
    process.commit(4)
    await asyncio.sleep(0.02)
    process.outbox.shelf.remove(first)
    await until(lambda: process.sender.told("a") == [2])
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == [2], "4 must wait for 3, which the other process tells"
    process.outbox.shelf.remove(second)
    await until(lambda: process.sender.told("a") == [2, 4])


async def test_a_subscriber_that_is_down_elsewhere_holds_up_nobody_else(process: Process) -> None:
    process.outbox.add(entry(1, by=OTHER))[0]  # due to a, who does not take it
    process.commit(2, due=("a", "b"))
    process.commit(3, due=("b",))
    await until(lambda: process.sender.told("b") == [2, 3])
    assert process.sender.told("a") == []


async def test_what_follows_something_due_to_others_alone_waits_too(process: Process) -> None:
    """The second change is ours and due to b; the third is of an entity that was ours, and due to a."""
    earlier = process.outbox.add(entry(1, by=OTHER))[0]
    process.commit(2, due=("b",))
    await until(lambda: process.sender.told("b") == [2])
    process.commit(3, due=("a",))
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == []
    process.outbox.shelf.remove(earlier)
    await until(lambda: process.sender.told("a") == [3])


async def test_what_is_ours_is_told_without_asking(process: Process) -> None:
    process.commit(1)
    await until(lambda: process.sender.told("a") == [1])
    asked = process.outbox.asked
    process.commit(2)
    await until(lambda: process.sender.told("a") == [1, 2])
    assert process.outbox.asked == asked


async def test_a_write_of_another_process_during_the_look_is_not_overlooked(process: Process) -> None:
    process.commit(1)
    await asyncio.sleep(0)  # the look for 1 is on its way
    other = process.outbox.add(entry(2, by=OTHER))[0]
    process.commit(3, due=("b",))
    await until(lambda: process.sender.told("b") == [3])
    process.commit(4)
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == [1]
    process.outbox.shelf.remove(other)
    await until(lambda: process.sender.told("a") == [1, 4])


async def test_what_is_inherited_is_told_before_what_waited_for_it(process: Process) -> None:
    process.outbox.add(entry(1, by=OTHER))[0]
    process.outbox.add(entry(2, "2", by=OTHER))[0]
    process.commit(3)
    process.commit(4)
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == []
    await process.adopt()
    await until(lambda: process.sender.told("a") == [1, 3, 4])
    await until(lambda: process.sender.told("a", "2") == [2])
    await until(lambda: not process.outbox.entries)


async def test_an_heir_knows_the_subscriptions_of_the_dead(process: Process) -> None:
    """The dead knew a subscription that the heir has not heard of: what is due to it is not dropped."""
    process.store.known.append(subscription("new", "http://new/"))
    process.store.epoch = 2
    process.outbox.add(entry(1, due=("new",), by=OTHER))
    await process.adopt()
    await until(lambda: process.sender.told("new") == [1])


async def test_an_heir_waits_for_the_living(process: Process) -> None:
    """What is inherited has its own predecessors, at a third process."""
    living = process.outbox.add(entry(1, by=THIRD))[0]
    process.outbox.add(entry(2, by=OTHER))[0]

    async def inherit() -> bool:
        process.outbox.adopt(OTHER)
        return True

    await process.notifier.adopt(inherit, _tenants)
    await asyncio.sleep(0.02)
    assert process.sender.taken == []
    process.outbox.shelf.remove(living)
    await until(lambda: process.sender.told("a") == [2])


async def test_an_adoption_that_fails_in_the_middle_is_done_again(process: Process) -> None:
    process.outbox.add(entry(1))  # moved already
    calls = 0

    async def inherit() -> bool:
        nonlocal calls
        calls += 1
        return calls == 1

    process.outbox.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await process.notifier.adopt(inherit, _tenants)
    process.outbox.error = None
    await process.notifier.adopt(inherit, _tenants)
    await until(lambda: process.sender.told("a") == [1])


async def test_a_tenant_that_cannot_be_read_keeps_no_other_waiting(process: Process) -> None:
    survey = process.outbox.survey

    async def some(tenant: str, *rest: Any) -> Any:
        if tenant == "bad":
            raise ValueError("no")
        return await survey(tenant, *rest)

    async def tenants() -> list[str]:
        return ["bad", ""]

    async def inherit() -> bool:
        return False

    process.outbox.survey = some  # type: ignore[method-assign, assignment]
    process.outbox.add(entry(1))
    process.notifier.lapsed()
    await process.notifier.adopt(inherit, tenants)
    await until(lambda: process.sender.told("a") == [1])
    process.outbox.add(entry(2, "2"))
    await process.notifier.adopt(inherit, tenants)
    await until(lambda: process.sender.told("a", "2") == [2])


async def test_what_another_process_resumes_goes_on(process: Process) -> None:
    """Nothing is under way here, so there is no write by which this one would hear of it."""
    await learn(process, subscription("a", "http://a/", isActive=False), B, epoch=2)
    process.outbox.add(entry(1))
    await process.notifier.reconcile()
    process.store.known, process.store.epoch = [A, B], 3
    await process.notifier.refresh()
    await until(lambda: process.sender.told("a") == [1])


async def test_what_was_inherited_is_told_though_nobody_heard_that_it_was(process: Process) -> None:
    """The database moved the entries and forgot the dead, but went away before it could say so."""
    calls = 0

    async def inherit() -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            process.outbox.add(entry(1))
            raise Unavailable("away")
        return False

    with pytest.raises(Unavailable):
        await process.notifier.adopt(inherit, _tenants)
    await process.notifier.adopt(inherit, _tenants)
    await until(lambda: process.sender.told("a") == [1])


async def test_an_adoption_does_not_tell_our_own_again(process: Process) -> None:
    process.sender.down = {"http://a/"}
    for stamp in range(1, 5):
        process.commit(stamp)
    await asyncio.sleep(0.02)
    await process.adopt()
    process.sender.down = set()
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == [1, 2, 3, 4]


async def test_a_second_adoption_leaves_what_the_first_brought_where_it_is() -> None:
    """What came after it, and had no room in memory, would be taken for held otherwise, and never be told."""
    process = await Process(A, lane_limit=2).ready()
    process.sender.down = {"http://a/"}
    for stamp in range(1, 5):
        process.outbox.add(entry(stamp, by=OTHER))[0]
    await process.adopt()
    await asyncio.sleep(0.03)
    for stamp in range(5, 9):
        process.commit(stamp)
    await asyncio.sleep(0.03)
    for _ in range(20):
        await process.adopt()
        process.sender.down = set()
        await asyncio.sleep(0.002)
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == [*range(1, 9)]
    await process.notifier.close()


async def test_while_the_database_is_away_what_has_to_wait_waits(process: Process) -> None:
    for rev, error in ((1, Unavailable("away")), (3, ValueError("something else"))):
        earlier = process.outbox.add(entry(rev, by=OTHER))[0]
        process.outbox.error = error
        process.commit(rev + 1)
        process.outbox.shelf.remove(earlier)
        await asyncio.sleep(0.03)
        assert process.sender.taken == []
        process.outbox.error = None
        await until(lambda rev=rev: process.sender.told("a") == [rev + 1])  # type: ignore[misc]
        process.sender.taken.clear()


async def test_what_cannot_be_read_of_one_entity_keeps_no_other_waiting(process: Process) -> None:
    process.outbox.shown = 0
    for of in ("bad", "good"):
        process.outbox.add(entry(1, of, by=OTHER))
    read = process.outbox._pending

    def pending(entity_id: str, *rest: Any) -> Any:
        if entity_id == "urn:x:bad":
            raise ValueError("no entity")
        return read(entity_id, *rest)

    process.outbox._pending = pending  # type: ignore[method-assign, assignment]
    process.commit(2, "bad")
    process.commit(2, "good")
    process.outbox.adopt(OTHER)
    await until(lambda: process.sender.told("a", "good") == [1, 2])
    assert process.sender.told("a", "bad") == []


async def test_more_than_fits_waits_in_the_store(process: Process) -> None:
    """What waits for another process does not fill memory, nor the way of what need not wait."""
    process.memory.lane = 10
    earlier = [process.outbox.add(entry(n, str(n), by=OTHER))[0] for n in range(3)]
    for rev in range(10, 110):
        process.commit(rev, str(rev % 3))
        if rev % 10 == 0:
            await asyncio.sleep(0.005)
        assert process.memory.held <= 10
    process.commit(200, "free")
    await until(lambda: process.sender.told("a", "free") == [200])
    for one in earlier:
        process.outbox.shelf.remove(one)
    for n in range(3):
        expected = [rev for rev in range(10, 110) if rev % 3 == n]
        await until(lambda n=n, expected=expected: process.sender.told("a", str(n)) == expected)  # type: ignore[misc]
    await until(lambda: process.is_at_rest)


async def test_two_full_memories_do_not_wait_for_each_other() -> None:
    """Each process has what the other one waits for, in the store, behind more than fits."""
    shelf = Shelf()
    mine = await Process(A, lane_limit=2, shelf=shelf).ready()
    other = await Process(A, lane_limit=2, name=OTHER, shelf=shelf).ready()
    mine.sender.down = other.sender.down = {"http://a/"}
    for rev in range(1, 40):
        (mine, other)[rev % 2].commit(rev, str(rev % 5))
        await asyncio.sleep(0)
    mine.sender.down = other.sender.down = set()
    await until(lambda: mine.is_at_rest and other.is_at_rest, 10)
    told = mine.sender.taken + other.sender.taken
    assert sorted(n for _, _, n in told) == list(range(1, 40))
    await mine.notifier.close()
    await other.notifier.close()


async def test_a_process_whose_lease_ran_out_leaves_what_others_have_taken_over(process: Process) -> None:
    process.sender.down = {"http://a/"}
    for rev in range(1, 4):
        process.commit(rev)
    await until(lambda: bool(process.memory.held))
    for one in process.outbox.entries.values():
        one.by = OTHER
    process.notifier.lapsed()
    process.commit(4)
    process.sender.down = set()
    await asyncio.sleep(0.03)
    assert process.sender.told("a") in ([], [1]), "what was on its way may arrive"
    for one in list(process.outbox.entries.values())[:3]:
        process.outbox.shelf.remove(one)
    await until(lambda: process.sender.told("a")[-1:] == [4])


async def test_a_reconciliation_finds_what_nobody_heard_of(process: Process) -> None:
    """The answer to a commit never came."""
    process.outbox.add(entry(1))
    process.commit(2, "2")
    await until(lambda: process.sender.told("a", "2") == [2])
    await process.notifier.reconcile()
    await until(lambda: process.sender.told("a") == [1])
    await until(lambda: process.is_at_rest)
    asked = process.outbox.asked
    await process.notifier.reconcile()
    assert process.outbox.asked == asked


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_others_do_order_holds_and_nothing_is_lost(seed: int) -> None:
    """Two processes write three entities in turn; a lane overflows; an endpoint is down at times."""
    r = Random(seed)
    process = await Process(A, B, lane_limit=4).ready()
    others: list[Any] = []
    expected: dict[tuple[str, str], list[int]] = {}
    for stamp in range(1, 400):
        of, due = str(r.randrange(3)), tuple(r.sample("ab", r.choice((1, 2))))
        if r.random() < 0.4:
            others.append(process.outbox.add(entry(stamp, of, due, by=OTHER))[0])
        else:
            process.commit(stamp, of, due)
            for who in due:
                expected.setdefault((who, of), []).append(stamp)
        if r.random() < 0.02:
            process.sender.down ^= {"http://b/"}
        if others and r.random() < 0.4:
            process.outbox.shelf.remove(others.pop(0))
        if r.random() < 0.5:
            await asyncio.sleep(r.choice((0, 0.001)))
    process.sender.down = set()
    for one in others:
        process.outbox.shelf.remove(one)
    await until(lambda: not process.outbox.entries)
    for (who, of), stamps in expected.items():
        assert list(dict.fromkeys(process.sender.told(who, of))) == stamps
    await until(lambda: process.is_at_rest)
    await process.notifier.close()


async def test_the_lane_of_an_endpoint_that_changes_loses_nothing() -> None:
    process = await Process(A, lane_limit=2).ready()
    process.sender.down = {"http://a/"}
    for stamp in range(1, 10):
        process.commit(stamp, str(stamp))
    process.store.known, process.store.epoch = [subscription("a", "http://new/")], 2
    await process.notifier.at_epoch("", 2)
    await until(lambda: not process.outbox.entries)
    assert sorted(n for _, _, n in process.sender.taken) == list(range(1, 10))
    await process.notifier.close()


async def test_what_is_due_to_a_subscription_that_is_gone_is_forgotten(process: Process) -> None:
    process.sender.down = {"http://a/"}
    process.commit(1)
    await asyncio.sleep(0.01)
    process.store.known, process.store.epoch = [B], 2
    await process.notifier.at_epoch("", 2)
    process.commit(2)
    await until(lambda: not process.outbox.entries)
    assert process.sender.taken == []


async def learn(process: Process, *known: Subscription, epoch: int) -> None:
    """Subscriptions change, and the process hears of it."""
    process.store.known, process.store.epoch = list(known), epoch
    await process.notifier.at_epoch("", epoch)


async def test_what_is_due_to_a_paused_subscription_waits_until_it_is_active(process: Process) -> None:
    paused = subscription("a", "http://a/", isActive=False)
    process.sender.down = {"http://a/"}
    process.commit(1)
    process.commit(2, due=("a", "b"))
    await until(lambda: process.sender.told("b") == [2])
    await learn(process, paused, B, epoch=2)
    process.sender.down = set()
    process.commit(3, due=("a", "b"))
    await until(lambda: process.sender.told("b") == [2, 3])
    await asyncio.sleep(0.03)
    assert process.sender.told("a") == []
    await learn(process, A, B, epoch=3)
    process.commit(4)
    await until(lambda: process.sender.told("a") == [1, 2, 3, 4])
    await until(lambda: not process.outbox.entries)
    await until(lambda: process.is_at_rest)


async def test_an_heir_keeps_what_is_due_to_the_paused(process: Process) -> None:
    await learn(process, subscription("a", "http://a/", isActive=False), B, epoch=2)
    process.outbox.add(entry(1, by=OTHER))[0]
    await process.adopt()
    await asyncio.sleep(0.02)
    assert process.sender.taken == []
    await learn(process, A, B, epoch=3)
    await until(lambda: process.sender.told("a") == [1])


async def test_before_a_retry_it_asks_whether_it_is_still_wanted(process: Process) -> None:
    """Another process deleted the subscription; this one has no write by which it would hear of that."""
    process.sender.down = {"http://a/"}
    process.commit(1)
    process.commit(1, "2", due=("b",))
    await until(lambda: process.sender.told("b", "2") == [1])
    process.store.known, process.store.epoch = [B], 2
    await until(lambda: not process.outbox.entries)  # though the receiver is down still
    process.sender.down = set()
    await until(lambda: process.is_at_rest)
    assert process.sender.told("a") == []


async def test_what_was_left_in_the_outbox_goes_along_to_a_new_endpoint() -> None:
    process = await Process(A, lane_limit=2).ready()
    process.sender.down = {"http://a/"}
    for stamp in range(1, 30):
        process.commit(stamp)
    await learn(process, subscription("a", "http://new/"), epoch=2)
    for stamp in range(30, 40):
        process.commit(stamp)
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == list(range(1, 40))
    await until(lambda: process.is_at_rest)
    await process.notifier.close()


async def test_a_change_of_our_own_is_known_at_once(process: Process) -> None:
    asked = process.store.asked
    await process.notifier.changed("", SubscriptionChanges(2, [subscription("c", "http://c/")]))
    assert process.store.asked == asked, "nobody needs to be asked"
    process.commit(1, due=("c",))
    await until(lambda: process.sender.told("c") == [1])
    process.store.known, process.store.epoch = [A], 9
    await process.notifier.changed("", SubscriptionChanges(9, [], ["urn:s:c"]))
    assert process.indexes[""].subscribers.keys() == {"urn:s:a"}, "others changed something, too"
