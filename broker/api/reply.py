"""Results as HTTP answers (clauses 6.3.4 to 6.3.6, 6.3.10, 6.3.13)."""

from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, urlencode

import orjson
from aiohttp import web

from broker.api.accept import GEO_JSON, JSON, LD_JSON, preferences
from broker.api.call import JSONLD_REL, Call
from broker.core import Json
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL

_IN_PATH = ":@!$&'()*+,;=~"  # what may stand in a part of a path as it is, beside letters and digits

Headers = dict[str, str]
Link = tuple[str, str]


def nothing() -> web.Response:
    """204: done."""
    return web.Response(status=204)


def created(collection: str, resource_id: str) -> web.Response:
    """201: made, and there it is."""
    return web.Response(status=201, headers={"Location": location(collection, resource_id)})


def location(collection: str, resource_id: str) -> str:
    """The path of a resource."""
    return f"/ngsi-ld/v1/{collection}/{quote(resource_id, safe=_IN_PATH)}"


def one(call: Call, doc: dict[str, Json], context: Context) -> web.Response:
    """200 with one JSON-LD object."""
    if call.accept == LD_JSON:
        doc["@context"] = source(context)
        return _json(200, doc, {"Content-Type": LD_JSON})
    return _json(200, doc, {"Content-Type": JSON, "Link": _context_link(context)})


def many(
    call: Call,
    docs: Sequence[dict[str, Json]],
    context: Context,
    count: int | None,
    pages: Sequence[Link] = (),
) -> web.Response:
    """200 with an array of JSON-LD objects, links to the pages beside it, and the full count if asked for."""
    if call.accept == LD_JSON:
        for doc in docs:
            doc["@context"] = source(context)
    return many_shown(call.accept, [*map(orjson.dumps, docs)], context, count, pages)


def one_shown(media: str, text: bytes, context: Context) -> web.Response:
    """200 with one JSON-LD object that is bytes already."""
    headers = {"Content-Type": media}
    if media == JSON:
        headers["Link"] = _context_link(context)
    return web.Response(status=200, body=text, headers=headers)


def many_shown(
    media: str, texts: Sequence[bytes], context: Context, count: int | None, pages: Sequence[Link] = ()
) -> web.Response:
    """200 with an array of JSON-LD objects that are bytes already; otherwise as `many`."""
    links = [_page_link(*page) for page in pages]
    if media == JSON:
        links.append(_context_link(context))
    headers = {"Content-Type": media}
    if count is not None:
        headers["NGSILD-Results-Count"] = str(count)
    if links:
        headers["Link"] = ", ".join(links)
    return web.Response(status=200, body=b"[" + b",".join(texts) + b"]", headers=headers)


def spatial(
    call: Call, doc: dict[str, Json], context: Context, count: int | None = None, pages: Sequence[Link] = ()
) -> web.Response:
    """200 with a Feature or FeatureCollection (6.3.15); `Prefer: body=json` moves the @context to a Link."""
    links = [_page_link(*page) for page in pages]
    headers = {} if count is None else {"NGSILD-Results-Count": str(count)}
    if preferences(call.http.headers.get("Prefer")).get("body") == "json":
        links.append(_context_link(context))
    else:
        doc["@context"] = source(context)
    if links:
        headers["Link"] = ", ".join(links)
    return _json(200, doc, {"Content-Type": GEO_JSON, **headers})


def plain(status: int, doc: Json) -> web.Response:
    """An answer that is JSON and no JSON-LD."""
    return _json(status, doc, {"Content-Type": JSON})


def served(call: Call, doc: Json) -> web.Response:
    """200 with a document in which nothing is to be named: the same bytes in both media types."""
    return _json(200, doc, {"Content-Type": call.accept})


def page_links(call: Call, limit: int, offset: int, more: bool) -> list[Link]:
    """Relative links to the previous and the next page (6.3.10): the same request at another offset."""
    if not limit:
        return []
    links = []
    if offset:
        links.append((_page_uri(call, limit, max(0, offset - limit)), "prev"))
    if more:
        links.append((_page_uri(call, limit, offset + limit), "next"))
    return links


def _page_uri(call: Call, limit: int, offset: int) -> str:
    params = {k: v for k, v in call.params.items() if k not in ("limit", "offset")}
    path = call.http.raw_path.partition("?")[0].rstrip("/")
    return f"{path}?{urlencode({**params, 'limit': limit, 'offset': offset}, quote_via=quote, safe=':/,*')}"


def _page_link(uri: str, relation: str) -> str:
    return f'<{uri}>;rel="{relation}";type="application/ld+json"'


@lru_cache(1000)
def _context_link(context: Context) -> str:
    return f'<{source(context)}>; rel="{JSONLD_REL}"; type="application/ld+json"'


def source(context: Context) -> Json:
    """The @context that answers name: the user's own, or the core."""
    return CORE_CONTEXT_URL if context.source is None else context.source


def _json(status: int, doc: Json, headers: Headers) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(doc), headers=headers)
