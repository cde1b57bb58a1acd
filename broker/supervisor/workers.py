"""Worker processes: starts them, cleans up after dead ones, and replaces them."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead
from pymongo.errors import PyMongoError

from broker.config import PREFIX, Settings, variable
from broker.store.registry.processes import end_process
from broker.store.server.children import end_child, kill_child, start_child
from broker.supervisor.database import DatabaseProcess
from broker.supervisor.pause import next_pause

logger = logging.getLogger(__name__)

_GRACE = 30.0  # seconds that a stopping worker may take to finish its requests
_CLEANUP = 3.0  # seconds for ending a dead worker's sessions; if that fails, they end with its lease
_TRIES = 3  # workers that may end before any was ready; after that, a restart is useless


class WorkersError(Exception):
    """The workers end as soon as they start."""


class Workers:
    """The worker processes of one broker.

    `command` starts one. `served`: set once a worker has been ready.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._failed_starts = 0
        self.served = False
        self._alive: set[asyncio.subprocess.Process] = set()

    async def keep(self, settings: Settings, mongo: DatabaseProcess, metrics: Path) -> None:
        """Runs one worker until cancelled, and restarts it when it ends.

        WorkersError if workers end before any was ready. `metrics`: the folder of the metrics files.
        """
        pause = 0.0
        while True:
            born = time.monotonic()
            code = await self._live(settings, mongo, metrics)
            self._failed_starts += not self.served
            if self._failed_starts >= _TRIES:
                raise WorkersError("the workers end as soon as they start; the lines above say why")
            pause = next_pause(pause, time.monotonic() - born)
            logger.warning("a worker ended; starting another", extra={"exit_code": code, "pause": pause})
            await asyncio.sleep(pause)

    async def _live(self, settings: Settings, mongo: DatabaseProcess, metrics: Path) -> int:
        """Runs one worker to its end and cleans up after it; returns its exit code."""
        process_id = secrets.token_hex(8)
        process = await start_child(self._command, env=_environment(settings, mongo.uri, process_id, metrics))
        self._alive.add(process)
        try:
            return await process.wait()
        finally:
            code = await end_child(process, _GRACE)
            self._alive.discard(process)
            mark_process_dead(process.pid, str(metrics))  # type: ignore[no-untyped-call]
            if code:
                await _free(mongo, settings.database, process_id)

    def kill(self) -> None:
        """Kill all workers at once."""
        for process in self._alive:
            kill_child(process)


def _environment(settings: Settings, mongo_uri: str, process_id: str, metrics: Path) -> dict[str, str]:
    """The environment of a worker: that of this process, the settings, and the worker's own variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {
        **inherited,
        **settings.environment(),
        variable("mongo_uri"): mongo_uri,
        variable("process_id"): process_id,
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "MALLOC_ARENA_MAX": "2",  # a worker is one thread that allocates; more heaps only hold on to memory
    }


async def _free(mongo: DatabaseProcess, prefix: str, process_id: str) -> None:
    """Ends the sessions of a dead worker, since its open transactions block other workers."""
    try:
        async with asyncio.timeout(_CLEANUP):
            await end_process(mongo.client, prefix, process_id)
    except (PyMongoError, TimeoutError) as error:
        logger.warning("a dead worker's sessions last until its lease ends", extra={"reason": str(error)})
