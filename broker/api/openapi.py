"""The OpenAPI description of this API, from specs/openapi.yaml."""

from functools import cache
from pathlib import Path

from aiohttp import web

from broker.api.call import Call

_HERE = Path(__file__)
_PLACES = (_HERE.with_suffix(".yaml"), _HERE.parents[2] / "specs" / "openapi.yaml")  # installed; in a clone


async def openapi(call: Call) -> web.Response:
    """GET /openapi.yaml."""
    return web.Response(body=document(), headers={"Content-Type": "application/yaml"})


@cache
def document() -> bytes:
    """The document, read once."""
    return next(place for place in _PLACES if place.exists()).read_bytes()
