"""The parent process: it owns the embedded MongoDB and the port, and keeps the workers alive."""

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
_POLL = 0.02


async def supervise(settings: Settings, worker_command: Sequence[str] = WORKER) -> int:
    """Run a broker until SIGTERM or SIGINT and return its exit code.

    0 after a clean stop, 1 when it could not start, which one logged sentence explains. The first signal
    lets the workers finish what they have begun, a later SIGINT kills them; MongoDB is stopped last.
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
        except ExceptionGroup as group:  # of the tasks that keep the broker going, one cannot go on
            mine, others = group.split((EmbeddedMongoError, WorkersError))
            if others or mine is None:
                raise
            logger.error(str(mine.exceptions[0]))
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
    """Say that the broker is ready, once it is."""
    while not await is_ready(settings.host, settings.port):  # noqa: ASYNC110 - a worker tells only who asks
        await asyncio.sleep(_POLL)
    workers.served = True
    many = "1 worker" if settings.workers == 1 else f"{settings.workers} workers"
    where = url(settings.host, settings.port)
    logger.info(f"Eridanus {version('eridanus')} is ready on {where} ({many}, {mongo})")


def _reactions(broker: asyncio.Task[None], workers: Workers) -> dict[int, Callable[[], None]]:
    """What signals do. SIGTERM may come twice, as from one who signals a group; SIGINT is a person."""

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
    """Pass on a cancellation that our caller asked for, rather than a signal."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
