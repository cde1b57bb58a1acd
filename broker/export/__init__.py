"""Export of history to files, for the command line.

The broker may run meanwhile. The history of each attribute is complete and in order. What is written during
the export may be missing.
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
    """The part of the history to export. Names are of `context`.

    `low`, `high`: the time from and the time before which instances are exported, in µs since 1970; None: no
    limit.
    """

    tenant: str = ""
    type: str | None = None
    ids: tuple[str, ...] = ()
    attrs: tuple[str, ...] = ()
    low: int | None = None
    high: int | None = None
    context: Context = field(default_factory=core)

    @property
    def query(self) -> TemporalQuery:
        """The temporal query of this selection, without its times."""
        expand = self.context.expand
        selection = None if self.type is None else types.parse(self.type, expand)
        return TemporalQuery(
            Query(selection, ids=self.ids, attrs=tuple(map(expand, self.attrs))), sys_attrs=True
        )


async def export(settings: Settings, wanted: HistorySelection, path: Path, report: Report) -> int:
    """Writes history to a file and returns the number of instances. The suffix of `path` selects the format.

    The file gets its name when it is complete. FormatError if the suffix is unknown; UpgradeError if another
    version wrote the database.
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
    """A client of a broker's MongoDB: the external one, the one that a running broker embeds, or our own."""
    uri = None if settings.mongo_uri else address(settings.data_dir)
    if uri is not None:
        async with connect(uri) as client:
            yield client
    else:
        async with database(settings) as own:
            yield own.client
