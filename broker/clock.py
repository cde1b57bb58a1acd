"""Clocks: the only module that reads one. Times are in microseconds since 1970 unless a name says otherwise.

Four times are kept apart, since each is wrong for what the others are for:

- `now`, the physical time of this process: what entities, notifications and subscriptions are stamped with.
  Nothing that others wrote ever raises it.
- `Stamp.rev`, a logical time that orders the writes of one entity, whatever the clocks of the writers say.
- `server`, the time of the database: leases, throttles, timers and ages are judged by it, because it is one
  time for all processes. It is measured now and then and goes on with the monotonic clock in between.
- `shared`, by which things expire. Whatever expires is deleted for everybody, so a process whose clock is
  wrong must not decide that by itself: it is `now`, or `server` where the two are more than `bound` apart.
"""

import time
from itertools import count
from typing import NamedTuple

from broker.core import instant

BOUND = 5.0  # seconds
_BACK = 1_000_000  # a clock put back by more than this is followed; by less, time stands still for a moment


class Stamp(NamedTuple):
    """The times of one write: `rev` is above all earlier ones of its entity, `now` is the physical time.

    `number`: no two stamps of a process have the same one, whatever becomes of its clock.
    """

    rev: int
    now: int
    number: int = 0


class Clock:
    """The clock of one process. `offset` (seconds) makes it wrong, for tests."""

    def __init__(self, *, offset: float = 0.0, bound: float = BOUND) -> None:
        self._offset = round(offset * 1_000_000)
        self._bound = round(bound * 1_000_000)
        self._last = 0
        self._numbers = count(1)
        self._began = self.monotonic()
        self._ahead = self._physical() - self.monotonic()  # the server's time, of the monotonic one

    def now(self) -> int:
        """The physical time. Each call gives a later one, unless the clock was put back."""
        at = self._physical()
        self._last = at if at < self._last - _BACK else max(at, self._last + 1)
        return self._last

    def stamp(self, known: int = 0) -> Stamp:
        """The stamp of a write to an entity whose last revision was `known`."""
        now = self.now()
        return Stamp(max(now, known + 1), now, next(self._numbers))

    def server(self) -> int:
        """The time of the database, as it is known here; that of this process before the first look."""
        return self.monotonic() + self._ahead

    def shared(self) -> int:
        """The time by which things expire."""
        now, server = self._physical(), self.server()
        return now if abs(now - server) <= self._bound else server

    def present(self) -> str:
        """`now` as an instant."""
        return instant.of_micros(self.now())

    def expiring(self) -> str:
        """`shared` as an instant."""
        return instant.of_micros(self.shared())

    def seconds(self) -> float:
        """The physical time in seconds."""
        return self._physical() / 1_000_000

    def server_seconds(self) -> float:
        """`server` in seconds."""
        return self.server() / 1_000_000

    def set_server(self, ahead: int) -> None:
        """Learns by how much the time of the database is ahead of the monotonic one."""
        self._ahead = ahead

    def skew(self) -> float:
        """By how many seconds this clock is ahead of the database's."""
        return (self._physical() - self.server()) / 1_000_000

    def is_off(self) -> bool:
        """Whether the two are more than the bound apart."""
        return abs(self._physical() - self.server()) > self._bound

    def monotonic(self) -> int:
        """A time that only serves to tell how much time has passed."""
        return time.monotonic_ns() // 1000

    def uptime(self) -> float:
        """The seconds since this clock was made."""
        return (self.monotonic() - self._began) / 1_000_000

    def _physical(self) -> int:
        return time.time_ns() // 1000 + self._offset
