"""A lane: few deliveries at once, patience with an endpoint that fails, and a turn for every stream."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from broker.core.delivery.effects import Offer, Withdraw
from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine import Machine
from broker.core.delivery.machine_base import Bounds
from broker.core.delivery.stream import Stream
from broker.notify.lane import Lane, Retry
from broker.ports.changes import Entry
from broker.ports.delivery import DeliveryFailed
from tests.notify.some import MINE, entry, until
from tests.simulation.world import Way


@dataclass(frozen=True, slots=True)
class Steps(Retry):
    """Pauses that end at once; `asked` holds the failures they were for."""

    asked: list[int] = field(default_factory=list)

    def pause(self, failures: int) -> float:
        """A moment."""
        self.asked.append(failures)
        return 0.001


class MqttEndpoint:
    """What a lane sends to, and the machine behind it: takes everything, unless told otherwise."""

    def __init__(self, concurrency: int = 4) -> None:
        self.came: list[tuple[str, int]] = []
        self.over: list[tuple[int, str | None]] = []
        self.tried: list[int] = []
        self.late: list[bool] = []
        self.at_once = self.most_at_once = 0
        self.gate: asyncio.Event | None = None
        self.refuses: Callable[[Entry], bool] = lambda entry: False
        self.fault: Exception | None = None
        self.is_final, self.rest = False, 0.0
        self.is_idle = self.is_stalled = False
        self.way = Way("http://x/")
        self.retry = Steps(1, 1, 1e9)
        self.lane = Lane("http://x/", self, self.send, concurrency=concurrency, retry=self.retry)
        self.machine = Machine(MINE, lambda one: self.way, Memory(1000, 1000, 4), Bounds())

    def offer(self, rev: int, of: str = "1") -> None:
        """Something is due to the subscriber."""
        self.machine.committed(entry(rev, of), (), True, 0.0)
        self.perform()

    def perform(self) -> None:
        """What the machine wants of the lane."""
        effects, self.machine.effects = self.machine.effects, []
        for one in effects:
            if isinstance(one, Offer):
                self.lane.offer(one.stream)
            elif isinstance(one, Withdraw):
                self.lane.withdraw(one.stream)

    async def send(self, stream: Stream, is_late: bool) -> None:
        """Takes a moment; fails if it shall."""
        one = stream.entry
        self.tried.append(one.rev)
        self.late.append(is_late)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self.at_once -= 1
        if self.fault is not None:
            raise self.fault
        if self.refuses(one):
            raise DeliveryFailed("refused", is_final=self.is_final, rest=self.rest)
        self.came.append((one.entity_id, one.rev))

    def started(self, stream: Stream) -> None:
        """See `lane.DeliveryEvents`."""
        self.is_idle = False
        self.machine.started(stream)

    def taken(self, stream: Stream, reason: str | None) -> None:
        """See `lane.DeliveryEvents`."""
        self.over.append((stream.entry.rev, reason))
        self.machine.taken(stream, 0.0, reason)
        self.perform()

    def failed(self, stream: Stream, uri: str, reason: str) -> None:
        """See `lane.DeliveryEvents`."""
        self.machine.failed(stream, 0.0)
        self.perform()

    def idle(self, uri: str) -> None:
        """See `lane.DeliveryEvents`."""
        self.is_idle = True

    def of(self, name: str) -> list[int]:
        """The revs taken of one entity."""
        return [rev for one, rev in self.came if one == f"urn:x:{name}"]


@pytest.fixture
def endpoint() -> MqttEndpoint:
    return MqttEndpoint()


async def test_each_stream_keeps_its_order_and_no_more_than_so_many_are_sent_at_once() -> None:
    endpoint = MqttEndpoint(concurrency=3)
    for rev in range(1, 61):
        endpoint.offer(rev, str(rev % 7))
    await until(lambda: len(endpoint.over) == 60)
    for n in range(7):
        assert endpoint.of(str(n)) == [rev for rev in range(1, 61) if rev % 7 == n]
    assert endpoint.most_at_once == 3
    await until(lambda: endpoint.is_idle)


async def test_one_stream_is_sent_one_at_a_time(endpoint: MqttEndpoint) -> None:
    for rev in range(1, 11):
        endpoint.offer(rev)
    await until(lambda: len(endpoint.over) == 10)
    assert endpoint.most_at_once == 1
    assert endpoint.of("1") == list(range(1, 11))


async def test_while_the_endpoint_fails_one_at_a_time_is_tried(endpoint: MqttEndpoint) -> None:
    endpoint.refuses = lambda entry: True
    for rev in range(1, 9):
        endpoint.offer(rev, str(rev))
    await until(lambda: len(endpoint.tried) > 12)
    assert endpoint.retry.asked[:4] == [1, 2, 3, 4], "those that fail together count once"
    endpoint.most_at_once = 0
    tried = len(endpoint.tried)
    await until(lambda: len(endpoint.tried) > tried + 4)
    assert endpoint.most_at_once == 1
    assert set(endpoint.tried) == set(range(1, 9)), "each stream has its turn"
    endpoint.refuses = lambda entry: False
    await until(lambda: endpoint.is_idle)
    assert sorted(rev for _, rev in endpoint.came) == list(range(1, 9))


async def test_what_is_never_taken_is_in_no_other_streams_way(endpoint: MqttEndpoint) -> None:
    endpoint.refuses = lambda entry: entry.entity_id == "urn:x:bad"
    endpoint.offer(1, "bad")
    for rev in range(2, 200):
        endpoint.offer(rev, str(rev % 5))
    await until(lambda: len(endpoint.over) == 198)
    assert endpoint.of("bad") == []
    await endpoint.lane.close(0)


def test_pauses_double_up_to_a_cap_with_jitter() -> None:
    retry = Retry(0.5, 60, 1)
    for failures, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (8, 60.0), (1000, 60.0)):
        pauses = [retry.pause(failures) for _ in range(50)]
        assert longest / 2 <= min(pauses) <= max(pauses) <= longest
        assert len(set(pauses)) > 1


async def test_a_fault_of_ours_is_tried_again_and_nothing_gets_stuck(
    endpoint: MqttEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.fault = RuntimeError("a bug")
    for rev in range(1, 7):
        endpoint.offer(rev, str(rev % 2))
    await until(lambda: len(endpoint.tried) > 6)
    assert "a bug" in caplog.text
    endpoint.fault = None
    await until(lambda: endpoint.is_idle)
    assert endpoint.of("0") == [2, 4, 6]
    assert endpoint.of("1") == [1, 3, 5]


async def test_what_is_refused_for_good_is_over_at_once_and_nothing_waits(endpoint: MqttEndpoint) -> None:
    endpoint.refuses, endpoint.is_final = lambda entry: entry.rev == 2, True
    for rev in range(1, 5):
        endpoint.offer(rev)
    await until(lambda: len(endpoint.over) == 4)
    assert endpoint.tried == [1, 2, 3, 4]
    assert endpoint.over == [(1, None), (2, "refused"), (3, None), (4, None)]
    assert endpoint.retry.asked == [], "the endpoint is not taken for dead"


async def test_an_endpoint_that_wants_rest_after_a_failure_gets_it(endpoint: MqttEndpoint) -> None:
    endpoint.refuses, endpoint.rest = lambda entry: True, 0.1
    endpoint.offer(1)
    await asyncio.sleep(0.05)
    assert endpoint.tried == [1], "the pause of the lane alone would have been over"
    await until(lambda: endpoint.tried == [1, 1])
    assert endpoint.late == [False, True], "the second attempt comes after a failure"
    await endpoint.lane.close(0)


async def test_what_is_withdrawn_is_not_sent(endpoint: MqttEndpoint) -> None:
    endpoint.gate = asyncio.Event()
    for rev in range(1, 8):
        endpoint.offer(rev, str(rev))
    await until(lambda: endpoint.at_once == 4)
    before, endpoint.way = endpoint.way, Way("http://x/", is_paused=True)
    endpoint.machine.changed("urn:s:a", before, endpoint.way)
    endpoint.perform()
    endpoint.gate.set()
    await until(lambda: endpoint.is_idle)
    assert sorted(rev for _, rev in endpoint.came) == [1, 2, 3, 4], "what was on its way goes on"


async def test_nothing_is_started_while_too_much_is_unsettled(endpoint: MqttEndpoint) -> None:
    endpoint.is_stalled = True
    endpoint.offer(1)
    await asyncio.sleep(0.01)
    assert endpoint.tried == []
    endpoint.is_stalled = False
    endpoint.lane.proceed()
    await until(lambda: endpoint.of("1") == [1])


async def test_close_waits_for_what_is_on_its_way_and_sends_nothing_more() -> None:
    endpoint = MqttEndpoint(concurrency=2)
    endpoint.gate = asyncio.Event()
    for rev in range(1, 5):
        endpoint.offer(rev, str(rev))
    await until(lambda: endpoint.at_once == 2)
    closing = asyncio.create_task(endpoint.lane.close(5))
    await asyncio.sleep(0)
    endpoint.gate.set()
    await closing
    await asyncio.sleep(0.01)
    assert [rev for _, rev in endpoint.came] == [1, 2]


async def test_close_leaves_what_hangs(endpoint: MqttEndpoint) -> None:
    endpoint.gate = asyncio.Event()
    endpoint.offer(1)
    await until(lambda: endpoint.at_once == 1)
    await endpoint.lane.close(0.01)
    assert endpoint.at_once == 0
    assert endpoint.over == []
