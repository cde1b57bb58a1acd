"""Results as HTTP responses (clauses 6.3.4 to 6.3.6, 6.3.10, 6.3.13)."""

from collections.abc import Sequence
from urllib.parse import quote

import orjson
from aiohttp import web

from broker.api.accept import GEO_JSON, JSON, LD_JSON
from broker.api.call import Call
from broker.api.pages import Link
from broker.api.representation import Representation, source
from broker.core import Json
from broker.core.jsonld.context import Context
from broker.core.jsonld.link_header import JSONLD_REL

_IN_PATH = ":@!$&'()*+,;=~"  # characters of a path segment that need no encoding, beside letters and digits

Headers = dict[str, str]


def nothing() -> web.Response:
    """204, without a body."""
    return web.Response(status=204)


def created(collection: str, resource_id: str) -> web.Response:
    """201 with the Location of the new resource."""
    return web.Response(status=201, headers={"Location": location(collection, resource_id)})


def location(collection: str, resource_id: str) -> str:
    """The path of a resource."""
    return f"/ngsi-ld/v1/{collection}/{quote(resource_id, safe=_IN_PATH)}"


def document(call: Call, doc: dict[str, Json], context: Context) -> web.Response:
    """200 with one JSON-LD object. Changes `doc`: it may add the @context."""
    if call.accept == LD_JSON:
        doc["@context"] = source(context)
        return _json(200, doc, {"Content-Type": LD_JSON})
    return _json(200, doc, {"Content-Type": JSON, "Link": _context_link(context)})


def page(
    call: Call,
    docs: Sequence[dict[str, Json]],
    context: Context,
    count: int | None,
    pages: Sequence[Link] = (),
    *,
    page_media: str | None = None,
) -> web.Response:
    """200 with an array of JSON-LD objects, links to other pages, and the full count unless it is None.

    `page_media`: the type in these links, if it is not that of the answer. Changes `docs`: it may add the
    @context.
    """
    media = call.accept
    links = [_page_link(page_media or media, *link) for link in pages]
    if media == LD_JSON:
        for doc in docs:
            doc["@context"] = source(context)
    else:
        links.append(_context_link(context))
    headers = {"Content-Type": media, **_counted(count)}
    if links:
        headers["Link"] = ", ".join(links)
    return _json(200, docs, headers)


def rendered(representation: Representation, text: bytes) -> web.Response:
    """200 with one rendered entity."""
    headers = {"Content-Type": representation.media}
    if representation.is_linked:
        headers["Link"] = _context_link(representation.context)
    return web.Response(status=200, body=text, headers=headers)


def rendered_page(
    representation: Representation,
    texts: Sequence[bytes],
    count: int | None = None,
    pages: Sequence[Link] = (),
) -> web.Response:
    """200 with rendered entities: an array or a FeatureCollection (5.2.30). Links, count: see `page`."""
    links = [_page_link(representation.media, *link) for link in pages]
    if representation.is_linked:
        links.append(_context_link(representation.context))
    body = b"[" + b",".join(texts) + b"]"
    if representation.media == GEO_JSON:
        context = (
            b""
            if representation.is_linked
            else b',"@context":' + orjson.dumps(source(representation.context))
        )
        body = b'{"type":"FeatureCollection","features":' + body + context + b"}"
    headers = {"Content-Type": representation.media, **_counted(count)}
    if links:
        headers["Link"] = ", ".join(links)
    return web.Response(status=200, body=body, headers=headers)


def _counted(count: int | None) -> Headers:
    return {} if count is None else {"NGSILD-Results-Count": str(count)}


def amended(answer: web.Response, *, is_amended: bool) -> web.Response:
    """The answer, as 203 if its content was downgraded to an older version of the specification (4.3.6.8)."""
    if is_amended:
        answer.set_status(203)
    return answer


def plain(status: int, doc: Json) -> web.Response:
    """A response of plain JSON, without an @context."""
    return _json(status, doc, {"Content-Type": JSON})


def served(call: Call, doc: Json) -> web.Response:
    """200 with a document that has no names to compact: the same bytes as JSON and as JSON-LD."""
    return _json(200, doc, {"Content-Type": call.accept})


def plain_page(docs: Sequence[Json], count: int | None, pages: Sequence[Link]) -> web.Response:
    """200 with an array of plain JSON, without an @context; links and count as in `page`."""
    headers = {"Content-Type": JSON, **_counted(count)}
    if pages:
        headers["Link"] = ", ".join(f'<{uri}>; rel="{relation}"' for uri, relation in pages)
    return _json(200, docs, headers)


def _page_link(media: str, uri: str, relation: str) -> str:
    return f'<{uri}>;rel="{relation}";type="{media}"'


def _context_link(context: Context) -> str:
    return f'<{source(context)}>; rel="{JSONLD_REL}"; type="application/ld+json"'


def _json(status: int, doc: Json, headers: Headers) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(doc), headers=headers)
