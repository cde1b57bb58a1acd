"""The room of context sources: what is registered, and what every worker knows of it."""

import ssl
from collections.abc import Collection

from broker.config import Settings
from broker.federation.asking import Asker, AskingLimits
from broker.federation.exchange import KEEP_ALIVE, ExchangeLimits, session_options
from broker.federation.known_sources import KnownSources
from broker.federation.tallies import Tallies
from broker.main.base import Base
from broker.ports.contexts import ContextLoader
from broker.store.registry.announcements import Key
from broker.store.registry.processes import Processes
from broker.store.registry.registrations import MongoRegistrations
from broker.store.registry.source_tallies import MongoSourceTallies
from broker.store.wire.client import Session

_KIND = "registration"  # of announcements; the key is (tenant,)
_CHECK = 30.0  # seconds between searches for changes that nobody announced, since their process died
_FLUSH = 1.0  # seconds between additions to the stored tallies


class FederationRoom:
    """Registrations of context sources, and the sources, which can be asked."""

    def __init__(self, base: Base, processes: Processes, contexts: ContextLoader) -> None:
        self._base, self._processes, settings = base, processes, base.settings
        self.registrations = MongoRegistrations(
            base.client, base.tenants, base.clock, settings.registrations_limit
        )
        authority = settings.federation_ca
        tls = None if authority is None else ssl.create_default_context(cafile=authority)
        session = base.egress.session(tls=tls, connections=0, keep_alive=KEEP_ALIVE, **session_options())
        base.stack.push_async_callback(session.close)
        asker = Asker(session, contexts, settings.alias, _limits(settings))
        self._tallies = Tallies(MongoSourceTallies(base.tenants), base.clock.present)
        base.stack.push_async_callback(self._tallies.flush)
        self.sources = KnownSources(self.registrations, asker.ask, self._is_current, self._tallies)
        base.stack.push_async_callback(self.sources.close)
        base.announcements.on(_KIND, self._changed)
        self.registrations.on_change(lambda tenant: base.announcements.announce(_KIND, (tenant,)))

    def sessions(self) -> list[Session]:
        """Those that write."""
        return [self.registrations.session]

    def begin(self) -> None:
        """Starts the work in the background."""
        self._base.repeat("sources", self._check, _CHECK)
        self._base.repeat("source tallies", self._tallies.flush, _FLUSH)

    def _is_current(self) -> bool:
        processes = self._processes
        return processes.is_alive() and self._base.announcements.is_current(processes.alive_since)

    async def _changed(self, keys: Collection[Key] | None) -> None:
        await self.sources.changed(None if keys is None else [tenant for (tenant,) in keys])

    async def _check(self) -> None:
        await self.sources.check(self._base.clock.expiring())


def _limits(settings: Settings) -> AskingLimits:
    return AskingLimits(
        settings.federation_timeout,
        settings.federation_deadline,
        settings.federation_fanout,
        settings.federation_sources,
        ExchangeLimits(settings.federation_max_bytes),
    )
