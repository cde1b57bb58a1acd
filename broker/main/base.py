"""What every room of a worker stands on, and the work that it does over and over in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from broker.config import Settings
from broker.core.errors import NgsiLdError
from broker.main.clock import ticking
from broker.store.client import Database
from broker.store.tenants import Tenants

log = logging.getLogger(__name__)
_PATIENCE = 1.0  # seconds before work that failed is tried again


class Base:
    """The settings, the database, the clock, and the stack that closes what was opened, last things first."""

    def __init__(self, settings: Settings, database: Database, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.database = database
        self.client = database.client
        self.stack = stack
        self.clock = ticking()
        self.tenants = Tenants(self.client, settings.database)
        self.tasks = self.client[settings.database]["tasks"]

    def repeat(self, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        """Does something over and over in the background, until the stack closes."""
        task = asyncio.create_task(_forever(work, seconds))
        self.stack.callback(task.cancel)


async def _forever(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        pause = seconds
        try:
            await work()
        except NgsiLdError as error:
            log.warning("work in the background has to wait", extra={"reason": error.detail})
            pause = _PATIENCE
        except Exception:  # whatever it is, the next round may do better, and none must end them all
            log.exception("work in the background failed")
            pause = _PATIENCE
        await asyncio.sleep(pause)
