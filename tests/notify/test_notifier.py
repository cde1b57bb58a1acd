"""The notifier: an order that holds across processes, and heirs who lose nothing."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.core.subscription import Subscription
from broker.notify import holds
from broker.notify.backlog import Backlog
from broker.notify.deliverer import Deliverer
from broker.notify.index import Index
from broker.notify.lane import Lane, Retry, Room
from broker.notify.messages import Messages
from broker.notify.notifier import Notifier
from broker.ports.changes import SubscriptionChanges
from broker.ports.delivery import DeliveryFailed, Message
from tests.core.documents import CORE
from tests.notify.some import MINE, OTHER, Outbox, Subscriptions, entry, subscription, until


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
    """A notifier with everything around it in memory."""

    def __init__(self, *known: Subscription, lane_limit: int = 100) -> None:
        self.outbox, self.sender, self.store = Outbox(), Sender(), Subscriptions(*known)
        self.indexes: dict[str, Index] = {}

        async def resolve(source: Any, tenant: str = "") -> Any:
            return CORE

        self.room = Room(1000)
        lane = partial(
            Lane, limit=lane_limit, concurrency=4, room=self.room, retry=Retry(0.001, 0.01, 1e12),
            now=lambda: 0.0,
        )  # fmt: skip
        contexts = cast(Any, SimpleNamespace(resolve=resolve, core=CORE))
        backlog = Backlog(self.outbox, 10_000)
        self.deliverer = Deliverer(
            self.indexes,
            self.outbox,
            backlog,
            Messages(contexts, no_links, cast(Any, None)),
            {"http": self.sender},
            lane,
            timeout=1,
            now=lambda: 0.0,
        )
        self.notifier = Notifier(self.indexes, self.store, self.outbox, self.deliverer, backlog, Clock())

    async def ready(self) -> "Process":
        """Knows the subscriptions."""
        await self.notifier.at_epoch("", 1)
        return self

    def commit(self, stamp: int, of: str = "1", due: tuple[str, ...] = ("a",), *, foreign: bool) -> None:
        """A change made by this process."""
        self.notifier.committed([self.outbox.add(entry(stamp, of, due, foreign=foreign))])

    async def adopt(self) -> None:
        """Takes over all that the other process has."""

        async def inherit() -> bool:
            await asyncio.sleep(0)
            self.outbox.owner = dict.fromkeys(self.outbox.owner, MINE)
            return True

        await self.notifier.adopt(inherit, _tenants)


async def _tenants() -> list[str]:
    return [""]


A, B = subscription("a", "http://a/"), subscription("b", "http://b/")


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    one = await Process(A, B).ready()
    yield one
    await one.notifier.close()


async def test_what_another_process_has_not_told_yet_comes_first(process: Process) -> None:
    earlier = process.outbox.add(entry(1, by=OTHER), OTHER)
    process.commit(2, foreign=True)
    process.commit(3, foreign=False)
    process.commit(4, "2", foreign=True)
    await until(lambda: process.sender.told("a", "2") == [4])
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == []
    process.outbox.remove(earlier)
    await until(lambda: process.sender.told("a") == [2, 3])
    await until(lambda: not process.outbox.entries)


async def test_two_processes_that_take_turns_on_one_entity(process: Process) -> None:
    """Each entry waits for the one before it, not only the first one that found the other busy."""
    first = process.outbox.add(entry(1, by=OTHER), OTHER)
    process.commit(2, foreign=True)
    second = process.outbox.add(entry(3, by=OTHER), OTHER)
    process.commit(4, foreign=True)
    await asyncio.sleep(0.02)
    process.outbox.remove(first)
    await until(lambda: process.sender.told("a") == [2])
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == [2], "4 must wait for 3, which the other process tells"
    process.outbox.remove(second)
    await until(lambda: process.sender.told("a") == [2, 4])


async def test_a_subscriber_that_is_down_elsewhere_holds_up_nobody_else(process: Process) -> None:
    process.outbox.add(entry(1, by=OTHER), OTHER)  # due to a, who does not take it
    process.commit(2, due=("a", "b"), foreign=True)
    process.commit(3, due=("b",), foreign=False)
    await until(lambda: process.sender.told("b") == [2, 3])
    assert process.sender.told("a") == []


async def test_what_follows_something_due_to_others_alone_waits_too(process: Process) -> None:
    """The second change is ours and due to b; the third is of an entity that was ours, and due to a."""
    earlier = process.outbox.add(entry(1, by=OTHER), OTHER)
    process.commit(2, due=("b",), foreign=True)
    await until(lambda: process.sender.told("b") == [2])
    process.commit(3, due=("a",), foreign=False)
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == []
    process.outbox.remove(earlier)
    await until(lambda: process.sender.told("a") == [3])


async def test_what_is_ours_is_told_without_asking(process: Process) -> None:
    process.commit(1, foreign=True)
    await until(lambda: process.sender.told("a") == [1])
    asked = process.outbox.asked
    process.commit(2, foreign=False)
    await until(lambda: process.sender.told("a") == [1, 2])
    assert process.outbox.asked == asked


async def test_a_write_of_another_process_during_the_look_is_not_overlooked(process: Process) -> None:
    process.commit(1, foreign=True)
    await asyncio.sleep(0)  # the look for 1 is on its way
    other = process.outbox.add(entry(2, by=OTHER), OTHER)
    process.commit(3, due=("b",), foreign=True)
    await until(lambda: process.sender.told("b") == [3])
    process.commit(4, foreign=False)
    await asyncio.sleep(0.02)
    assert process.sender.told("a") == [1]
    process.outbox.remove(other)
    await until(lambda: process.sender.told("a") == [1, 4])


async def test_what_is_inherited_is_told_before_what_waited_for_it(process: Process) -> None:
    process.outbox.add(entry(1, by=OTHER), OTHER)
    process.outbox.add(entry(2, "2", by=OTHER), OTHER)
    process.commit(3, foreign=True)
    process.commit(4, foreign=False)
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
    process.outbox.add(entry(1, due=("new",), by=OTHER), OTHER)
    await process.adopt()
    await until(lambda: process.sender.told("new") == [1])


async def test_an_heir_waits_for_the_living(process: Process) -> None:
    """What is inherited has its own predecessors, at a third process."""
    living = process.outbox.add(entry(1, by="c" * 16), "c" * 16)
    process.outbox.add(entry(2, by=OTHER), OTHER)

    async def inherit() -> bool:
        process.outbox.owner = {k: MINE if v == OTHER else v for k, v in process.outbox.owner.items()}
        return True

    await process.notifier.adopt(inherit, _tenants)
    await asyncio.sleep(0.02)
    assert process.sender.taken == []
    process.outbox.remove(living)
    await until(lambda: process.sender.told("a") == [2])


async def test_an_adoption_that_fails_in_the_middle_is_done_again(process: Process) -> None:
    process.outbox.add(entry(1, by=OTHER), MINE)  # moved already
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


async def test_what_was_inherited_is_told_though_nobody_heard_that_it_was(process: Process) -> None:
    """The database moved the entries and forgot the dead, but went away before it could say so."""
    calls = 0

    async def inherit() -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            process.outbox.add(entry(1, by=OTHER), MINE)
            raise Unavailable("away")
        return False

    with pytest.raises(Unavailable):
        await process.notifier.adopt(inherit, _tenants)
    await process.notifier.adopt(inherit, _tenants)
    await until(lambda: process.sender.told("a") == [1])


async def test_an_adoption_does_not_tell_our_own_again(process: Process) -> None:
    process.sender.down = {"http://a/"}
    for stamp in range(1, 5):
        process.commit(stamp, foreign=stamp == 1)
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
        process.outbox.add(entry(stamp, by=OTHER), OTHER)
    await process.adopt()
    await asyncio.sleep(0.03)
    for stamp in range(5, 9):
        process.commit(stamp, foreign=stamp == 5)
    await asyncio.sleep(0.03)
    for _ in range(20):
        await process.adopt()
        process.sender.down = set()
        await asyncio.sleep(0.002)
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == [*range(1, 9)]
    await process.notifier.close()


async def test_while_the_database_is_away_what_is_held_stays_held(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "_LONGEST", 0.01)
    for error in (Unavailable("away"), ValueError("something else")):
        process.outbox.error = error
        process.commit(1, foreign=True)
        await asyncio.sleep(0.03)
        assert process.sender.taken == []
        process.outbox.error = None
        await until(lambda: process.sender.told("a") == [1])
        process.sender.taken.clear()


async def test_more_than_fits_is_held_in_the_outbox(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscriber that is down elsewhere for long does not fill our memory; in the end nothing is lost."""
    for name, value in {"_LIMIT": 10, "_PAGE": 7, "_LONGEST": 0.01}.items():
        monkeypatch.setattr(holds, name, value)
    earlier = [process.outbox.add(entry(n, str(n), by=OTHER), OTHER) for n in range(3)]
    for stamp in range(10, 110):
        process.commit(stamp, str(stamp % 3), foreign=stamp < 13)
        if stamp % 10 == 0:
            await asyncio.sleep(0.005)
    held = process.notifier._holds
    assert len(held) <= 10
    process.commit(200, "free", due=("b",), foreign=True)
    for one in earlier:
        process.outbox.remove(one)
    process.commit(201, "1", foreign=False)
    await until(lambda: process.sender.told("a", "1")[-1:] == [201])
    for n in range(3):
        expected = [stamp for stamp in range(10, 110) if stamp % 3 == n] + [201] * (n == 1)
        await until(lambda n=n, expected=expected: process.sender.told("a", str(n)) == expected)  # type: ignore[misc]
    await until(lambda: process.sender.told("b", "free") == [200])
    await until(lambda: not held._lines and not held._left and not len(held))
    await until(lambda: not process.outbox.entries)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_others_do_order_holds_and_nothing_is_lost(seed: int) -> None:
    """Two processes write three entities in turn; a lane overflows; an endpoint is down at times."""
    r = Random(seed)
    process = await Process(A, B, lane_limit=4).ready()
    others: list[Any] = []
    last: dict[str, str] = {}
    expected: dict[tuple[str, str], list[int]] = {}
    for stamp in range(1, 400):
        of, due = str(r.randrange(3)), tuple(r.sample("ab", r.choice((1, 2))))
        if r.random() < 0.4:
            others.append(process.outbox.add(entry(stamp, of, due, by=OTHER), OTHER))
            last[of] = OTHER
        else:
            process.commit(stamp, of, due, foreign=last.get(of) != MINE)
            last[of] = MINE
            for who in due:
                expected.setdefault((who, of), []).append(stamp)
        if r.random() < 0.02:
            process.sender.down ^= {"http://b/"}
        if others and r.random() < 0.4:
            process.outbox.remove(others.pop(0))
        if r.random() < 0.5:
            await asyncio.sleep(r.choice((0, 0.001)))
    process.sender.down = set()
    for one in others:
        process.outbox.remove(one)
    await until(lambda: not process.outbox.entries)
    for (who, of), stamps in expected.items():
        assert list(dict.fromkeys(process.sender.told(who, of))) == stamps
    await until(lambda: not process.deliverer._lanes)
    await until(lambda: not process.notifier._holds._lines)
    await process.notifier.close()


async def test_the_lane_of_an_endpoint_that_changes_loses_nothing() -> None:
    process = await Process(A, lane_limit=2).ready()
    process.sender.down = {"http://a/"}
    for stamp in range(1, 10):
        process.commit(stamp, str(stamp), foreign=True)
    await until(lambda: len(process.notifier._holds) == 0)
    process.store.known, process.store.epoch = [subscription("a", "http://new/")], 2
    await process.notifier.at_epoch("", 2)
    await until(lambda: not process.outbox.entries)
    assert sorted(n for _, _, n in process.sender.taken) == list(range(1, 10))
    await process.notifier.close()


async def test_what_is_due_to_a_subscription_that_is_gone_is_forgotten(process: Process) -> None:
    process.sender.down = {"http://a/"}
    process.commit(1, foreign=True)
    await asyncio.sleep(0.01)
    process.store.known, process.store.epoch = [B], 2
    await process.notifier.at_epoch("", 2)
    process.commit(2, foreign=False)
    await until(lambda: not process.outbox.entries)
    assert process.sender.taken == []


async def learn(process: Process, *known: Subscription, epoch: int) -> None:
    """Subscriptions change, and the process hears of it."""
    process.store.known, process.store.epoch = list(known), epoch
    await process.notifier.at_epoch("", epoch)


async def test_what_is_due_to_a_paused_subscription_waits_until_it_is_active(process: Process) -> None:
    paused = subscription("a", "http://a/", isActive=False)
    process.sender.down = {"http://a/"}
    process.commit(1, foreign=True)
    process.commit(2, due=("a", "b"), foreign=False)
    await until(lambda: process.sender.told("b") == [2])
    await learn(process, paused, B, epoch=2)
    process.sender.down = set()
    process.commit(3, due=("a", "b"), foreign=False)
    await until(lambda: process.sender.told("b") == [2, 3])
    await asyncio.sleep(0.03)
    assert process.sender.told("a") == []
    await learn(process, A, B, epoch=3)
    process.commit(4, foreign=False)
    await until(lambda: process.sender.told("a") == [1, 2, 3, 4])
    await until(lambda: not process.outbox.entries)
    await until(lambda: not process.deliverer._lanes)


async def test_an_heir_keeps_what_is_due_to_the_paused(process: Process) -> None:
    await learn(process, subscription("a", "http://a/", isActive=False), B, epoch=2)
    process.outbox.add(entry(1, by=OTHER), OTHER)
    await process.adopt()
    await asyncio.sleep(0.02)
    assert process.sender.taken == []
    await learn(process, A, B, epoch=3)
    await until(lambda: process.sender.told("a") == [1])


async def test_before_a_retry_it_asks_whether_it_is_still_wanted(process: Process) -> None:
    """Another process deleted the subscription; this one has no write by which it would hear of that."""
    process.sender.down = {"http://a/"}
    process.commit(1, foreign=True)
    process.commit(1, "2", due=("b",), foreign=True)
    await until(lambda: process.sender.told("b", "2") == [1])
    process.store.known, process.store.epoch = [B], 2
    process.sender.down = set()
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == []
    await until(lambda: not process.deliverer._lanes)


async def test_what_was_left_in_the_outbox_goes_along_to_a_new_endpoint() -> None:
    process = await Process(A, lane_limit=2).ready()
    process.sender.down = {"http://a/"}
    for stamp in range(1, 30):
        process.commit(stamp, foreign=stamp == 1)
    await until(lambda: len(process.notifier._holds) == 0)
    await learn(process, subscription("a", "http://new/"), epoch=2)
    for stamp in range(30, 40):
        process.commit(stamp, foreign=False)
    await until(lambda: not process.outbox.entries)
    assert process.sender.told("a") == list(range(1, 40))
    await until(lambda: not process.deliverer._lanes)
    assert process.room.free == 1000
    await process.notifier.close()


async def test_a_change_of_our_own_is_known_at_once(process: Process) -> None:
    asked = process.store.asked
    await process.notifier.changed("", SubscriptionChanges(2, [subscription("c", "http://c/")]))
    assert process.store.asked == asked, "nobody needs to be asked"
    process.commit(1, due=("c",), foreign=True)
    await until(lambda: process.sender.told("c") == [1])
    process.store.known, process.store.epoch = [A], 9
    await process.notifier.changed("", SubscriptionChanges(9, [], ["urn:s:c"]))
    assert process.indexes[""].subscribers.keys() == {"urn:s:a"}, "others changed something, too"
