"""What time it is: the core never asks, so it is told."""

import time

from broker.core import instant
from broker.ports.changes import Clock


def ticking() -> Clock:
    """A clock in microseconds that never stands still, nor goes back."""
    last = 0

    def tick(at_least: int = 0) -> int:
        nonlocal last
        last = max(time.time_ns() // 1000, last + 1, at_least)
        return last

    return tick


def present() -> str:
    """The present instant."""
    return instant.of_micros(time.time_ns() // 1000)
