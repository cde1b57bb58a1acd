"""How often a process looks for what another one has to deliver first."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core.delivery.effects import Load
from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine import Machine
from broker.core.delivery.machine_base import Bounds
from broker.core.delivery.rechecks import LONGEST, SHORTEST


@dataclass(frozen=True)
class Way:
    """Where a subscription's deliveries go."""

    uri: str = "http://127.0.0.1/"
    is_paused: bool = False


def entry(rev: int, by: str, *due: str) -> Entry:
    return Entry(f"{rev}{by}", "", "urn:x:1", rev, rev, by, set(due))


def pause(machine: Machine, pending: Sequence[Entry]) -> float:
    """The next look shows what is pending; how long until the one after it."""
    assert machine.next_tick is not None
    now = machine.next_tick
    machine.tick(now)
    [load] = machine.effects
    assert isinstance(load, Load)
    machine.effects = []
    machine.loaded("urn:x:1", [one for one in pending if one.subscriptions & load.subscriptions], True, now)
    machine.effects = []
    assert machine.next_tick is not None
    return machine.next_tick - now


def waiting(*foreign: Entry) -> tuple[Machine, Entry]:
    """A process that waits for these before it may deliver its own entry."""
    machine = Machine("me", lambda _: Way(), Memory(100, 100, 2), Bounds())
    own = entry(1000, "me", "urn:s:1", "urn:s:2")
    machine.committed(own, foreign, True, 0.0)
    machine.effects = []
    return machine, own


def test_pauses_grow_while_the_other_process_does_not_get_on() -> None:
    first = entry(1, "other", "urn:s:1", "urn:s:2")
    machine, own = waiting(first)
    pauses = [round(pause(machine, [first, own]), 6) for _ in range(30)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST


def test_pauses_are_short_while_it_does() -> None:
    """Many entries written in turn through many processes pass from one to another without long pauses."""
    foreign = [entry(rev, "other", "urn:s:1", "urn:s:2") for rev in range(1, 31)]
    machine, own = waiting(*foreign)
    pauses = [pause(machine, [*foreign[gone:], own]) for gone in range(1, 30)]
    assert max(pauses) < 2 * SHORTEST


def test_one_stream_that_is_stuck_does_not_slow_the_others_down() -> None:
    stuck = entry(1, "other", "urn:s:1")
    foreign = [entry(rev, "other", "urn:s:2") for rev in range(2, 31)]
    machine, own = waiting(stuck, *foreign)
    pauses = [pause(machine, [stuck, *foreign[gone:], own]) for gone in range(1, 29)]
    assert max(pauses) < 2 * SHORTEST
