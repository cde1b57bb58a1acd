"""The clocks of a process; no other module reads the time. Times are in microseconds since 1970 unless named.

There are four times, for different purposes:

- `now`: the physical time of this process. It is the timestamp of entities, notifications and subscriptions.
  What other processes wrote never raises it.
- `Stamp.rev`: a logical time. It orders the writes of one entity, even if the writers' clocks differ.
- `server`: the time of the database, one for all processes. Leases, throttling, timers and ages use it. It is
  measured now and then; between measurements it advances with the monotonic clock.
- `shared`: the time by which data expires. What expires is deleted for all processes, so a process with a
  wrong clock must not decide this alone. It is `now`, or `server` if the two differ by more than `bound`.
"""

import time
from itertools import count
from typing import NamedTuple

from broker.core import instant

BOUND = 5.0  # seconds that `now` and `server` may differ
_BACK = 1_000_000  # µs; `now` follows a clock that is set back by more, and hardly advances if it is by less


class Stamp(NamedTuple):
    """The times of one write. `rev`: greater than the `rev` of earlier writes of the entity. `now`: physical.

    `number`: unique among the stamps of this process, even if its clock is set back.
    """

    rev: int
    now: int
    number: int = 0


class Clock:
    """The clock of one process.

    `offset` (seconds) makes it wrong, for tests; `bound`: see the module (seconds).
    """

    def __init__(self, *, offset: float = 0.0, bound: float = BOUND) -> None:
        self._offset = round(offset * 1_000_000)
        self._bound = round(bound * 1_000_000)
        self._last = 0
        self._numbers = count(1)
        self._began = self.monotonic()
        self._ahead = self._physical() - self.monotonic()  # µs from the monotonic clock to the server's time

    def now(self) -> int:
        """The physical time.

        Each call returns a later time, unless the clock was set back by more than 1 s.
        """
        at = self._physical()
        self._last = at if at < self._last - _BACK else max(at, self._last + 1)
        return self._last

    def stamp(self, known: int = 0) -> Stamp:
        """The stamp of a write to an entity whose last `rev` is `known`."""
        now = self.now()
        return Stamp(max(now, known + 1), now, next(self._numbers))

    def server(self) -> int:
        """The estimated time of the database; before the first measurement, the time of this process."""
        return self.monotonic() + self._ahead

    def shared(self) -> int:
        """The time by which data expires."""
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
        """Sets the measured difference (µs) between the time of the database and the monotonic clock."""
        self._ahead = ahead

    def skew(self) -> float:
        """The seconds by which this clock is ahead of the database's; negative if it is behind."""
        return (self._physical() - self.server()) / 1_000_000

    def is_off(self) -> bool:
        """Whether this clock and the database's differ by more than the bound."""
        return abs(self._physical() - self.server()) > self._bound

    def monotonic(self) -> int:
        """The monotonic clock: for durations only."""
        return time.monotonic_ns() // 1000

    def uptime(self) -> float:
        """The seconds since this clock was made."""
        return (self.monotonic() - self._began) / 1_000_000

    def _physical(self) -> int:
        return time.time_ns() // 1000 + self._offset
