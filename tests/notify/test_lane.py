"""A lane: order for each key, few at once, patience with an endpoint that fails, and nothing lost."""

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass, field

import pytest

from broker.notify.lane import Delivery, Lane, Retry, Room
from broker.ports.changes import Entry
from broker.ports.delivery import DeliveryFailed
from tests.notify.some import entry, until


@dataclass(frozen=True, slots=True)
class Steps(Retry):
    """Pauses that last until the test lets them end at once; `asked` holds the failures they were for."""

    asked: list[int] = field(default_factory=list)

    def pause(self, failures: int) -> float:
        """A moment."""
        self.asked.append(failures)
        return 0.001


class Endpoint:
    """What a lane sends to: takes everything, unless told otherwise."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.over: list[tuple[int, str | None]] = []
        self.tried: list[int] = []
        self.now = 0.0
        self.at_once = self.most_at_once = 0
        self.gate: asyncio.Event | None = None
        self.refuses: Callable[[Entry], bool] = lambda entry: False
        self.fault: Exception | None = None
        self.is_final, self.rest = False, 0.0

    async def send(self, delivery: Delivery) -> None:
        """Takes a moment; fails if it shall."""
        self.tried.append(delivery.entry.stamp)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self.at_once -= 1
        if self.fault is not None:
            raise self.fault
        if self.refuses(delivery.entry):
            raise DeliveryFailed("refused", is_final=self.is_final, rest=self.rest)
        self.taken.append((delivery.entry.entity["id"], delivery.entry.stamp))

    def done(self, lane: Lane, delivery: Delivery, given_up: str | None) -> None:
        """A delivery is over."""
        self.over.append((delivery.entry.stamp, given_up))

    def of(self, name: str) -> list[int]:
        """The stamps taken of one entity."""
        return [stamp for one, stamp in self.taken if one == f"urn:x:{name}"]


def lane_to(
    endpoint: Endpoint,
    retry: Retry | None = None,
    *,
    limit: int = 100,
    concurrency: int = 4,
    room: Room | None = None,
) -> Lane:
    steps = retry or Steps(1, 1, 1e9)
    return Lane(
        endpoint.send, endpoint.done, limit=limit, concurrency=concurrency, room=room or Room(1000),
        retry=steps, now=lambda: endpoint.now,
    )  # fmt: skip


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def offer(lane: Lane, stamp: int, of: str = "1", who: str = "a") -> Delivery:
    delivery = Delivery(entry(stamp, of), f"urn:s:{who}")
    lane.offer(delivery)
    return delivery


async def test_each_key_keeps_its_order_and_no_more_than_so_many_are_sent_at_once(endpoint: Endpoint) -> None:
    lane = lane_to(endpoint, concurrency=3)
    for stamp in range(60):
        offer(lane, stamp, str(stamp % 7))
    await until(lambda: len(endpoint.over) == 60)
    for name in "0123456":
        assert endpoint.of(name) == list(range(int(name), 60, 7))
    assert endpoint.most_at_once == 3
    assert lane.is_idle
    assert lane._lines == {}, "a key stays in memory"


async def test_one_key_is_sent_one_at_a_time(endpoint: Endpoint) -> None:
    lane = lane_to(endpoint)
    for stamp in range(10):
        offer(lane, stamp)
    await until(lambda: len(endpoint.over) == 10)
    assert endpoint.most_at_once == 1
    assert endpoint.of("1") == list(range(10))


async def test_what_it_has_is_not_taken_twice(endpoint: Endpoint) -> None:
    endpoint.gate = asyncio.Event()
    lane = lane_to(endpoint)
    for stamp in (1, 2, 1, 2):
        offer(lane, stamp)
    assert len(lane) == 2
    endpoint.gate.set()
    await until(lambda: lane.is_idle)
    assert endpoint.of("1") == [1, 2]


async def test_while_the_endpoint_fails_one_at_a_time_is_tried(endpoint: Endpoint) -> None:
    endpoint.refuses = lambda entry: True
    steps = Steps(1, 1, 1e9)
    lane = lane_to(endpoint, steps)
    for stamp in range(8):
        offer(lane, stamp, str(stamp))
    await until(lambda: len(endpoint.tried) > 12)
    assert steps.asked[:4] == [1, 2, 3, 4], "those that fail together count once"
    endpoint.most_at_once = 0
    tried = len(endpoint.tried)
    await until(lambda: len(endpoint.tried) > tried + 4)
    assert endpoint.most_at_once == 1
    assert set(endpoint.tried) == set(range(8)), "each key has its turn"
    endpoint.refuses = lambda entry: False
    await until(lambda: lane.is_idle)
    assert sorted(stamp for _, stamp in endpoint.taken) == list(range(8))
    assert endpoint.over == [(stamp, None) for _, stamp in endpoint.taken]


async def test_what_is_refused_for_good_is_in_nobodys_way(endpoint: Endpoint) -> None:
    endpoint.refuses = lambda entry: entry.entity["id"] == "urn:x:bad"
    lane = lane_to(endpoint)
    offer(lane, 0, "bad")
    for stamp in range(1, 200):
        offer(lane, stamp, str(stamp % 5))
    await until(lambda: len(endpoint.over) >= 99)
    assert endpoint.of("bad") == []
    await lane.close(0)


def test_pauses_double_up_to_a_cap_with_jitter() -> None:
    retry = Retry(0.5, 60, 1)
    for failures, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (8, 60.0), (1000, 60.0)):
        pauses = [retry.pause(failures) for _ in range(50)]
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
        assert len(set(pauses)) > 1


async def test_what_is_too_old_is_given_up_with_the_reason(endpoint: Endpoint) -> None:
    endpoint.refuses = lambda entry: True
    lane = lane_to(endpoint, Steps(1, 1, 60))
    for stamp in range(5):
        offer(lane, stamp, str(stamp % 2))
    offer(lane, 100_000_000, "1")
    await until(lambda: len(endpoint.tried) > 5)
    assert endpoint.over == []
    endpoint.now = 61.0
    await until(lambda: len(endpoint.over) == 5)
    assert {reason for _, reason in endpoint.over} == {"refused"}
    endpoint.refuses = lambda entry: False
    await until(lambda: lane.is_idle)
    assert endpoint.of("1") == [100_000_000], "what is young is tried on"


async def test_a_fault_of_ours_is_tried_again_and_nothing_gets_stuck(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.fault = RuntimeError("a bug")
    lane = lane_to(endpoint)
    for stamp in range(6):
        offer(lane, stamp, str(stamp % 2))
    await until(lambda: len(endpoint.tried) > 6)
    assert "a bug" in caplog.text
    endpoint.fault = None
    await until(lambda: lane.is_idle)
    assert endpoint.of("0") == [0, 2, 4]
    assert endpoint.of("1") == [1, 3, 5]


class Rest:
    """The outbox behind a lane: all that was offered and is not over."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.all: dict[str, Delivery] = {}

    def add(self, delivery: Delivery) -> None:
        """It is committed."""
        self.all[delivery.entry.id] = delivery

    async def read(
        self, start: str, subscriptions: Set[str], limit: int
    ) -> tuple[list[Delivery], str | None]:
        """Fresh copies from an id on."""
        await asyncio.sleep(0.001)
        over = {stamp for stamp, _ in self._endpoint.over}
        found = [
            Delivery(one.entry, one.subscription)
            for name, one in sorted(self.all.items())
            if name >= start and one.subscription in subscriptions and one.entry.stamp not in over
        ][:limit]
        return found, found[-1].entry.id + "\0" if len(found) == limit else None


@pytest.mark.parametrize("limit", [1, 4, 50])
async def test_what_does_not_fit_is_read_back_in_order_and_nothing_is_lost(
    endpoint: Endpoint, limit: int
) -> None:
    lane, rest = lane_to(endpoint, limit=limit), Rest(endpoint)
    most = 0

    async def refill() -> None:
        nonlocal most
        while len(endpoint.over) < 300 or not lane.is_idle:
            most = max(most, len(lane))
            if lane.wants_more:
                await lane.refill(rest.read)
            await asyncio.sleep(0)

    refilling = asyncio.create_task(refill())
    for stamp in range(300):
        rest.add(offer(lane, stamp, str(stamp % 11)))
        if stamp % 3 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await refilling
    for name in range(11):
        assert endpoint.of(str(name)) == list(range(name, 300, 11))
    assert most <= 2 * limit + 1, "memory is not bounded"


async def test_what_is_offered_during_a_refill_that_brings_nothing_is_not_forgotten(
    endpoint: Endpoint,
) -> None:
    endpoint.gate = asyncio.Event()
    lane, rest = lane_to(endpoint, limit=1), Rest(endpoint)
    offer(lane, 1)
    offer(lane, 2)  # left in the outbox, and gone from there before it is read
    endpoint.gate.set()
    await until(lambda: lane.wants_more)
    refill = asyncio.create_task(lane.refill(rest.read))
    await asyncio.sleep(0)
    rest.add(offer(lane, 3))
    await refill
    assert lane.wants_more
    await lane.refill(rest.read)
    await until(lambda: len(lane) == 0)
    assert endpoint.of("1") == [1, 3]


async def test_a_refill_that_fails_can_be_done_again(endpoint: Endpoint) -> None:
    lane, rest = lane_to(endpoint, limit=1), Rest(endpoint)
    offer(lane, 1)
    rest.add(offer(lane, 2))

    async def fail(start: str, subscriptions: Set[str], limit: int) -> tuple[list[Delivery], str | None]:
        raise OSError("no luck")

    await until(lambda: lane.wants_more)
    with pytest.raises(OSError, match="no luck"):
        await lane.refill(fail)
    assert lane.wants_more
    await lane.refill(rest.read)
    await until(lambda: len(lane) == 0)
    assert endpoint.of("1") == [1, 2]


async def test_close_waits_for_what_is_on_its_way_and_sends_nothing_more(endpoint: Endpoint) -> None:
    endpoint.gate = asyncio.Event()
    lane = lane_to(endpoint, concurrency=2)
    for stamp in range(4):
        offer(lane, stamp, str(stamp))
    await until(lambda: endpoint.at_once == 2)
    closing = asyncio.create_task(lane.close(5))
    await asyncio.sleep(0)
    endpoint.gate.set()
    await closing
    await asyncio.sleep(0.01)
    assert [stamp for _, stamp in endpoint.taken] == [0, 1]


async def test_close_gives_up_what_hangs(endpoint: Endpoint) -> None:
    endpoint.gate = asyncio.Event()
    lane = lane_to(endpoint)
    offer(lane, 1)
    await until(lambda: endpoint.at_once == 1)
    await lane.close(0.01)
    await until(lambda: endpoint.at_once == 0)
    assert endpoint.over == []


async def test_what_is_refused_for_good_is_given_up_at_once_and_nothing_waits(endpoint: Endpoint) -> None:
    endpoint.refuses, endpoint.is_final = lambda entry: entry.stamp == 2, True
    steps = Steps(1, 1, 1e9)
    lane = lane_to(endpoint, steps)
    for stamp in range(1, 5):
        offer(lane, stamp)
    await until(lambda: lane.is_idle)
    assert endpoint.tried == [1, 2, 3, 4]
    assert endpoint.over == [(1, None), (2, "refused"), (3, None), (4, None)]
    assert steps.asked == [], "the endpoint is not taken for dead"


async def test_an_endpoint_that_wants_rest_after_a_failure_gets_it(endpoint: Endpoint) -> None:
    endpoint.refuses, endpoint.rest = lambda entry: True, 0.1
    lane = lane_to(endpoint)
    offer(lane, 1)
    await asyncio.sleep(0.05)
    assert endpoint.tried == [1], "the pause of the lane alone would have been over"
    await until(lambda: endpoint.tried == [1, 1])
    await lane.close(0)


async def test_what_is_tried_after_a_failure_is_late(endpoint: Endpoint) -> None:
    endpoint.refuses, endpoint.rest = lambda entry: True, 0.05
    lane = lane_to(endpoint)
    first = offer(lane, 1)
    await until(lambda: endpoint.tried == [1])
    assert not first.is_late
    await until(lambda: endpoint.tried[:2] == [1, 1])
    assert first.is_late
    await lane.close(0)


async def test_a_subscription_that_is_released_leaves_nothing_behind(endpoint: Endpoint) -> None:
    endpoint.gate = asyncio.Event()
    room = Room(1000)
    lane = lane_to(endpoint, limit=6, concurrency=2, room=room)
    for stamp in range(1, 9):
        offer(lane, stamp, str(stamp % 3), "ab"[stamp % 2])
    await until(lambda: endpoint.at_once == 2)
    assert lane.behind is not None
    assert lane.release("urn:s:b", cancel=True) == entry(1).id
    await until(lambda: endpoint.at_once == 2)  # what was on its way made room for others
    assert lane.release("urn:s:b", cancel=True) is None
    endpoint.gate.set()
    await until(lambda: len(endpoint.over) == 3)
    assert sorted(stamp for _, stamp in endpoint.taken) == [2, 4, 6]
    assert lane.behind == entry(7).id
    assert lane.release("urn:s:a") == entry(7).id
    assert lane.is_idle
    assert room.free == 1000


async def test_a_parked_subscription_waits_in_the_outbox(endpoint: Endpoint) -> None:
    lane, rest = lane_to(endpoint), Rest(endpoint)
    endpoint.refuses, endpoint.rest = lambda entry: True, 0.05
    for stamp in range(1, 5):
        rest.add(offer(lane, stamp, "1", "a"))
        rest.add(offer(lane, stamp + 10, "1", "b"))
    await until(lambda: len(endpoint.tried) > 1 and endpoint.at_once == 0)
    lane.park("urn:s:a")
    rest.add(offer(lane, 5, "1", "a"))
    endpoint.refuses = lambda entry: False
    await until(lambda: len(lane) == 0)
    assert endpoint.of("1") == [11, 12, 13, 14]
    assert not lane.is_idle
    assert not lane.wants_more
    lane.park("urn:s:a")
    lane.unpark("urn:s:a")
    assert lane.wants_more
    await lane.refill(rest.read)
    await until(lambda: lane.is_idle)
    assert endpoint.of("1")[4:] == [1, 2, 3, 4, 5]


async def test_what_was_on_its_way_when_it_was_parked_is_not_lost(endpoint: Endpoint) -> None:
    endpoint.gate = asyncio.Event()
    lane, rest = lane_to(endpoint), Rest(endpoint)
    for stamp in (1, 2):
        rest.add(offer(lane, stamp))
    await until(lambda: endpoint.at_once == 1)
    lane.park("urn:s:a")
    endpoint.refuses = lambda entry: True
    endpoint.gate.set()
    await until(lambda: endpoint.at_once == 0)
    endpoint.refuses = lambda entry: False
    lane.unpark("urn:s:a")
    await until(lambda: lane.wants_more)
    await lane.refill(rest.read)
    await until(lambda: lane.is_idle)
    assert endpoint.of("1") == [1, 2]


async def test_all_lanes_share_the_room_and_none_starves(endpoint: Endpoint) -> None:
    """One lane takes all the room there is; another one gets along with a few at a time."""
    room, other = Room(10), Endpoint()
    endpoint.gate = asyncio.Event()
    greedy, modest = lane_to(endpoint, room=room), lane_to(other, concurrency=2, room=room)
    for stamp in range(30):
        offer(greedy, stamp)
    assert len(greedy) == 10
    rest = Rest(other)
    for stamp in range(30):
        rest.add(offer(modest, stamp))
    most = 0
    async with asyncio.timeout(5):
        while not modest.is_idle:
            most = max(most, len(modest))
            if modest.wants_more:
                await modest.refill(rest.read)
            await asyncio.sleep(0)
    assert most <= 4
    assert other.of("1") == list(range(30))
    await greedy.close(0)
