"""The yardstick: an aiohttp handler on uvloop that does nothing but answer 1.1 kB of JSON.

What a broker reaches is told as a ratio to this, measured in the same run on the same machine, so
that the figures can be compared between machines. `python -m tests.bench.bare PORT` runs it.
"""

import sys

import uvloop
from aiohttp import web

from tests.bench import workload
from tests.bench.client import LOOPBACK

BODY = workload.entity(0)


async def answer(_: web.Request) -> web.Response:
    """Answer the same entity to everyone."""
    return web.Response(body=BODY, content_type="application/json")


def main(port: int) -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.router.add_get("/", answer)
    web.run_app(
        app, host=LOOPBACK, port=port, access_log=None, print=lambda *_: None, loop=uvloop.new_event_loop()
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
