"""Clocks for tests."""

from collections.abc import Callable

from broker.clock import Clock


class SetClock(Clock):
    """The clock of a process in a world whose time the test sets, in µs; so is the server's."""

    def __init__(self, read: Callable[[], int]) -> None:
        self._read = read
        super().__init__()

    def server(self) -> int:
        """The time that the test says."""
        return self._read()

    def _physical(self) -> int:
        return self._read()
