"""The output of the command `export`: a progress bar, and one line at the end or on failure."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from broker.config import Settings
from broker.core import instant
from broker.core.errors import BadRequestData, NgsiLdError
from broker.export import HistorySelection, export
from broker.export.files import FormatError
from broker.store.server.embedded import EmbeddedMongoError
from broker.store.server.external import ServerUnfitError
from broker.store.upgrade.format import UpgradeError


def run(
    settings: Settings,
    file: Path,
    tenant: str,
    type: str | None,
    ids: Sequence[str],
    attrs: Sequence[str],
    since: str | None,
    until: str | None,
) -> int:
    """Exports and returns the exit code: 0, or 1 if it failed. `since`, `until`: ISO 8601 texts."""
    console = Console(stderr=True)
    try:
        low, high = _micros("since", since), _micros("until", until)
        wanted = HistorySelection(tenant, type, tuple(ids), tuple(attrs), low, high)
        written = asyncio.run(_exported(settings, wanted, file, console))
    except NgsiLdError as error:
        console.print(error.detail, style="red", markup=False)
        return 1
    except (FormatError, EmbeddedMongoError, ServerUnfitError, UpgradeError, OSError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(f"{written} instances in {file}", markup=False, highlight=False)
    return 0


async def _exported(settings: Settings, wanted: HistorySelection, file: Path, console: Console) -> int:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("entities", total=None)

        def report(done: int, count: int, written: int) -> None:
            progress.update(bar, completed=done, total=count, description=f"{written} instances; entities")

        return await export(settings, wanted, file, report)


def _micros(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if (parsed := instant.parse(text)) is None:
        raise BadRequestData(f"--{name}: expected a date and time in UTC, as in 2026-07-01T12:00:00Z")
    return instant.micros(parsed)
