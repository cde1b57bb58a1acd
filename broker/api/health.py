"""Resources for operators: version, health, metrics."""

import asyncio
import os
from importlib.metadata import version as installed

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from broker.api import reply
from broker.api.call import Call

_VERSION = {"name": "Eridanus", "version": installed("eridanus"), "specification": "ETSI GS CIM 009 V1.9.1"}


async def version(call: Call) -> web.Response:
    """GET /version."""
    return reply.plain(200, _VERSION)


async def live(call: Call) -> web.Response:
    """GET /health/live: 200, since the process answers."""
    return reply.plain(200, {"status": "live"})


async def ready(call: Call) -> web.Response:
    """GET /health/ready: 200 if the database answers, 503 if not.

    It warns of a clock that differs too much.
    """
    await call.broker.ready()
    clock = call.broker.clock
    warning = {"warning": _clocks(clock.skew())} if clock.is_off() else {}
    return reply.plain(200, {"status": "ready", **warning})


def _clocks(skew: float) -> str:
    side = "ahead of" if skew > 0 else "behind"
    return f"clock: it is {abs(skew):.1f} s {side} the database's"


async def metrics(call: Call) -> web.Response:
    """GET /metrics in Prometheus' format, for all workers together."""
    text = await asyncio.to_thread(_collect)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _collect() -> bytes:
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
