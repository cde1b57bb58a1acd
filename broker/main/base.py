"""What every room of a worker stands on, and the work that it does over and over in the background."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from broker.clock import Clock
from broker.config import Settings
from broker.store.background.lease import Lease
from broker.store.background.runner import Runner, Task
from broker.store.wire.client import Database
from broker.store.wire.tenants import Tenants


class Base:
    """The settings, the database, the clock, and the stack that closes what was opened, last things first."""

    def __init__(self, settings: Settings, database: Database, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.database = database
        self.client = database.client
        self.stack = stack
        self.clock = Clock(offset=settings.clock_offset, bound=settings.clock_bound)
        self.runner = Runner(self.clock)
        self.tenants = Tenants(self.client, settings.database)
        self.tasks = self.client[settings.database]["tasks"]

    def repeat(self, name: str, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Does something over and over in the background, from the start of the runner on."""
        self.runner.add(Task(name, lambda _: work(), seconds))

    def repeat_for_tenants(
        self, name: str, work: Callable[[str], Awaitable[object]], seconds: float, lease: Lease | None = None
    ) -> None:
        """The same for each tenant; with a lease by one process for all."""
        self.runner.add(Task(name, work, seconds, self.tenants.names, lease))
