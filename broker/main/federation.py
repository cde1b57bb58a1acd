"""The room of context sources: what is registered."""

from broker.main.base import Base
from broker.store.registry.registrations import MongoRegistrations
from broker.store.wire.client import Session


class FederationRoom:
    """Registrations of context sources. Nobody is asked yet."""

    def __init__(self, base: Base) -> None:
        self.registrations = MongoRegistrations(base.client, base.tenants, base.clock)

    def sessions(self) -> list[Session]:
        """Those that write."""
        return [self.registrations.session]
