"""Insisting: work in the database that must be done is retried until it succeeds."""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.core.errors import Unavailable

log = logging.getLogger(__name__)
_FIRST, _LONGEST = 0.1, 5.0  # seconds before the second attempt, and between attempts at most
T = TypeVar("T")


async def insist(work: Callable[[], Awaitable[T]], what: str, tries: int = 0) -> T:
    """Runs `work` until it succeeds, with growing pauses, and returns its result. `what` names it in the log.

    After `tries` attempts (0: never) it raises the error of the last one, whichever it is. While the database
    is Unavailable it goes on in any case.
    """
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
    raise AssertionError("the loop ends by return or raise")


def pause(count: int) -> float:
    """Seconds before the next attempt: doubled with each failure, with jitter."""
    return min(_LONGEST, _FIRST * 2.0 ** min(count, 10)) * random.uniform(0.5, 1.0)
