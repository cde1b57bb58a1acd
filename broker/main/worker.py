"""One worker: serves requests until a signal stops it."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web

from broker.config import Settings
from broker.logs import setup_logs
from broker.main.build import build


def run_worker(settings: Settings) -> None:
    """Serves requests until SIGTERM or SIGINT, then finishes those that have begun."""
    setup_logs(settings.log_level, settings.log_format)
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        binding = await build(settings, stack)
        runner = web.ServerRunner(binding.server(), handle_signals=False, shutdown_timeout=10)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        _relax_garbage_collection()
        await web.TCPSite(runner, settings.host, settings.port, reuse_port=True, backlog=1024).start()
        await stop.wait()


def _relax_garbage_collection() -> None:
    """Makes garbage collection rare: entities are trees of dicts, which reference counting frees."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
