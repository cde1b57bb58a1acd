"""Compares the clock of this process with that of the database."""

import logging

from broker.clock import Clock
from broker.store.wire.client import Database

log = logging.getLogger(__name__)
_ASKED = 3  # requests for the server's time; the one with the shortest round trip counts


class ClockCheck:
    """Compares both clocks; logs once when they begin to differ, and once when they agree again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._was_off = False

    async def look(self) -> None:
        """Sets the server's time in the process's clock; Unavailable if the database is away."""
        _, ahead = min([await self._ask() for _ in range(_ASKED)])
        self._clock.set_server(ahead)
        is_off = self._clock.is_off()
        if is_off != self._was_off:
            self._was_off = is_off
            log.log(
                logging.WARNING if is_off else logging.INFO,
                "the clock of this process and the database's differ"
                if is_off
                else "the clock of this process and the database's agree again",
                extra={"ahead": round(self._clock.skew(), 3)},
            )

    async def _ask(self) -> tuple[int, int]:
        """(round trip, lead of the database's clock over the monotonic clock of this process), in µs."""
        began = self._clock.monotonic()
        server = await self._database.time()
        passed = self._clock.monotonic() - began
        return passed, server - began - passed // 2
