"""The parent process: runs the embedded MongoDB, reserves the port, and restarts workers that die."""

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from broker.config import Settings
from broker.store.server.embedded import EmbeddedMongoError
from broker.store.server.external import ServerUnfitError
from broker.store.upgrade.format import UpgradeError, upgrade
from broker.supervisor.database import database
from broker.supervisor.port import PortError, is_ready, reserved_port, url
from broker.supervisor.workers import Workers, WorkersError

logger = logging.getLogger(__name__)

WORKER = (sys.executable, "-m", "broker.main")
_POLL = 0.02  # seconds


async def supervise(settings: Settings, worker_command: Sequence[str] = WORKER) -> int:
    """Runs a broker until SIGTERM or SIGINT; returns the exit code.

    0 after a clean stop; 1 if it cannot start or cannot continue, with the reason in one log line. On the
    first signal workers finish the requests that they have begun; a later SIGINT kills them. MongoDB stops
    last.
    """
    workers = Workers(worker_command)
    broker = asyncio.create_task(_run(settings, workers))
    with _on_signals(_reactions(broker, workers)):
        try:
            await broker
        except asyncio.CancelledError:
            _raise_if_cancelled()
            logger.info("stopped")
        except (PortError, EmbeddedMongoError, ServerUnfitError, UpgradeError) as error:
            logger.error(str(error))
            return 1
        except ExceptionGroup as group:  # MongoDB or the workers cannot be kept running
            expected, others = group.split((EmbeddedMongoError, WorkersError))
            if others or expected is None:
                raise
            logger.error(str(expected.exceptions[0]))
            return 1
    return 0


async def _run(settings: Settings, workers: Workers) -> None:
    with (
        reserved_port(settings.host, settings.port) as port,
        tempfile.TemporaryDirectory(prefix="eridanus-") as metrics,
    ):
        settings = settings.model_copy(update={"port": port})
        async with database(settings) as mongo:
            await upgrade(mongo.client, settings.database)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mongo.keep())
                for _ in range(settings.workers):
                    tasks.create_task(workers.keep(settings, mongo, Path(metrics)))
                tasks.create_task(_announce(settings, mongo.description, workers))


async def _announce(settings: Settings, mongo: str, workers: Workers) -> None:
    """Logs that the broker is ready, once a worker answers."""
    while not await is_ready(settings.host, settings.port):  # noqa: ASYNC110 - workers can only be polled
        await asyncio.sleep(_POLL)
    workers.served = True
    workers_text = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    where = url(settings.host, settings.port)
    logger.info(f"Eridanus {version('eridanus')} is ready on {where} ({workers_text}, {mongo})")


def _reactions(broker: asyncio.Task[None], workers: Workers) -> dict[int, Callable[[], None]]:
    """The signal handlers.

    A second SIGTERM is ignored: it may go to the whole process group. SIGINT is a person's.
    """

    def stop() -> None:
        if not broker.cancelling():
            logger.info("stopping")
            broker.cancel()

    def stop_or_hurry() -> None:
        if broker.cancelling():
            logger.warning("asked again: killing the workers")
            workers.kill()
        stop()

    return {signal.SIGTERM: stop, signal.SIGINT: stop_or_hurry}


@contextmanager
def _on_signals(reactions: dict[int, Callable[[], None]]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number, react in reactions.items():
        loop.add_signal_handler(number, react)
    try:
        yield
    finally:
        for number in reactions:
            loop.remove_signal_handler(number)


def _raise_if_cancelled() -> None:
    """Raises CancelledError if the caller cancelled this task; a signal only cancels the broker's task."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
