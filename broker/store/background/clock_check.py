"""The clock of this process, compared with the database's now and then."""

import logging

from broker.clock import Clock
from broker.store.wire.client import Database

log = logging.getLogger(__name__)
_ASKED = 3  # times that the server is asked, to find an answer that was not held up


class Compared:
    """Looks at both clocks, and says so once when they part, and when they are together again."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._was_off = False

    async def look(self) -> None:
        """Tells the clock what time it is by the database's; Unavailable if that is away."""
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
        """How long it took to ask, and by how much the database's time is ahead of the monotonic one (µs)."""
        began = self._clock.monotonic()
        server = await self._database.time()
        passed = self._clock.monotonic() - began
        return passed, server - began - passed // 2
