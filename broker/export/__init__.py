"""Export of history from the command line, to be read by other programs.

The broker may go on serving meanwhile. Each attribute's history is whole and in order; what is written while
the export runs may be in it or not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from broker.config import Settings
from broker.core.jsonld.context import Context, core
from broker.core.lang import types
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.export.files import open_file
from broker.store.history.dump import Dump
from broker.store.server.embedded import address
from broker.store.server.external import Client, connect
from broker.store.upgrade.format import require_current
from broker.store.wire.tenants import Tenants
from broker.supervisor.database import database

Report = Callable[[int, int, int], None]  # entities done, entities there are, instances written


@dataclass(frozen=True, slots=True)
class HistorySelection:
    """What is to be exported; names are of the core context. `low` and `high` are in µs."""

    tenant: str = ""
    type: str | None = None
    ids: tuple[str, ...] = ()
    attrs: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    context: Context = field(default_factory=core)

    @property
    def query(self) -> TemporalQuery:
        """The same as a query."""
        expand = self.context.expand
        selection = None if self.type is None else types.parse(self.type, expand)
        return TemporalQuery(
            Query(selection, ids=self.ids, attrs=tuple(map(expand, self.attrs))), sys_attrs=True
        )


async def export(settings: Settings, wanted: HistorySelection, path: Path, report: Report) -> int:
    """Writes history to a file, whose name tells the format; how many instances.

    The file has its name only when it is complete. UpgradeError if another version wrote the database.
    """
    part = path.with_name(path.name + ".part")
    async with _client(settings) as client:
        await require_current(client, settings.database)
        dump = Dump(Tenants(client, settings.database), wanted.tenant, wanted.query, wanted.low, wanted.high)
        count, done, written = await dump.entities(), 0, 0
        with open_file(part, path.suffix, wanted.context) as file:
            async for _, piece in dump.pieces():
                if piece is None:
                    done += 1
                else:
                    written += await asyncio.to_thread(file.write, piece)
                report(done, count, written)
    part.replace(path)
    return written


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Client]:
    """A client of the MongoDB of a broker: the one named, the one that a broker runs now, or our own."""
    uri = None if settings.mongo_uri else address(settings.data_dir)
    if uri is not None:
        async with connect(uri) as client:
            yield client
    else:
        async with database(settings) as own:
            yield own.client
