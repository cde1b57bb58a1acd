"""What all rooms of a worker share: settings, database, clock, egress, background runner, exit stack."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from broker.clock import Clock
from broker.config import Settings
from broker.core.egress import egress_rule
from broker.egress import Egress
from broker.store.background.lease import Lease
from broker.store.background.runner import Runner, Task
from broker.store.registry.announcements import Announcements
from broker.store.wire.client import Database
from broker.store.wire.tenants import Tenants

_RETRY = 0.2  # seconds until announcements are followed again after a failure


class Base:
    """The shared parts of a worker. `stack` closes what was opened, in reverse order."""

    def __init__(self, settings: Settings, database: Database, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.database = database
        self.client = database.client
        self.stack = stack
        self.clock = Clock(offset=settings.clock_offset, bound=settings.clock_bound)
        self.egress = Egress(
            egress_rule(settings.egress_allow, settings.egress_deny, private=settings.egress_private)
        )
        stack.push_async_callback(self.egress.close)
        self.runner = Runner(self.clock)
        self.tenants = Tenants(self.client, settings.database)
        self.tasks = self.client[settings.database]["tasks"]
        self.announcements = Announcements(
            self.client, settings.database, settings.process_id, settings.process_lease, self.clock
        )

    async def open(self) -> None:
        """Opens the announcements; they are followed once the runner has started."""
        await self.announcements.open()
        self.repeat("announcements", self.announcements.follow, _RETRY)

    def repeat(self, name: str, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Repeats `work` in the background, with pauses of `seconds`, once the runner has started."""
        self.runner.add(Task(name, lambda _: work(), seconds))

    def repeat_for_tenants(
        self, name: str, work: Callable[[str], Awaitable[object]], seconds: float, lease: Lease | None = None
    ) -> None:
        """Repeats `work` for each tenant. With a lease, only the process that holds it does the work."""
        self.runner.add(Task(name, work, seconds, self.tenants.names, lease))
