"""Insisting: what has to be done in the database is tried until it is."""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.core.errors import Unavailable

log = logging.getLogger(__name__)
_FIRST, _LONGEST = 0.1, 5.0  # seconds before the second try, and between tries at most
T = TypeVar("T")


async def insist(work: Callable[[], Awaitable[T]], what: str, tries: int = 0) -> T:
    """Does it; if it fails, does it again after growing pauses. After so many
    tries (0: never) it raises the error, unless the database is away."""
    for count in itertools.count(1):
        try:
            return await work()
        except Unavailable:
            log.info("the database is away; trying again", extra={"work": what})
        except Exception:
            if tries and count >= tries:
                raise
            log.exception("the database refuses; trying again", extra={"work": what})
        await asyncio.sleep(pause(count))
    raise AssertionError("it never ends without")


def pause(count: int) -> float:
    """Seconds before the next try: doubling, with jitter."""
    return min(_LONGEST, _FIRST * 2.0 ** min(count, 10)) * random.uniform(0.5, 1.0)
