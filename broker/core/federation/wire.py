"""Steps as HTTP requests (clauses 4.3.6.5, 4.3.6.6, 6.3.14, 6.3.18, 6.3.19).

In which names a source is asked:

    jsonldContext is given      those of that @context, with its Link
    the client's is one URL     those of the client, with that Link; in its body, if contentType says so
    it is inline, or several    those of the core @context: no source has to fetch anything from here
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

import orjson

from broker.core import Json
from broker.core.entity.renamed import attribute_name
from broker.core.federation.origin import Origin
from broker.core.federation.payload import payload
from broker.core.federation.sent_query import query_body, query_params
from broker.core.federation.step import Request, Step
from broker.core.federation.via import write_via
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL, is_core
from broker.core.jsonld.link_header import JSONLD_REL
from broker.core.lang import types
from broker.core.lang.show import show_types

_LD_JSON = "application/ld+json"
DEADLINE = "Eridanus-Deadline"
"""The header that says for how many ms a broker of this kind waits for the answer to what it sends on."""
_REQUEST = "urn:ngsi-ld:request"  # 4.3.6.5: the value of a pair that is the client's own header


class Route(NamedTuple):
    """How an operation is asked for: the method, and the path below /ngsi-ld/v1/."""

    method: str
    path: str


ROUTES = {
    "retrieveEntity": Route("GET", "entities/{id}"),
    "queryEntity": Route("GET", "entities"),
    "queryBatch": Route("POST", "entityOperations/query"),
    "createEntity": Route("POST", "entities"),
    "replaceEntity": Route("PUT", "entities/{id}"),
    "mergeEntity": Route("PATCH", "entities/{id}"),
    "updateEntity": Route("PATCH", "entities/{id}/attrs/"),
    "appendAttrs": Route("POST", "entities/{id}/attrs/"),
    "updateAttrs": Route("PATCH", "entities/{id}/attrs/{attr}"),
    "replaceAttrs": Route("PUT", "entities/{id}/attrs/{attr}"),
    "deleteAttrs": Route("DELETE", "entities/{id}/attrs/{attr}"),
    "deleteEntity": Route("DELETE", "entities/{id}"),
    "purgeEntity": Route("DELETE", "entities"),
    "createBatch": Route("POST", "entityOperations/create"),
    "upsertBatch": Route("POST", "entityOperations/upsert"),
    "updateBatch": Route("POST", "entityOperations/update"),
    "mergeBatch": Route("POST", "entityOperations/merge"),
    "deleteBatch": Route("POST", "entityOperations/delete"),
}
READS = frozenset(("retrieveEntity", "queryEntity", "queryBatch"))

# The order of parameters; others come behind these.
_ORDER = {
    name: rank
    for rank, name in enumerate(
        "type id idPattern attrs q georel geometry coordinates geoproperty scopeQ keep drop".split()
    )
}
_LISTS = ("attrs", "keep", "drop")  # parameters that list names of attributes
_OWN = frozenset(
    """
    accept accept-encoding connection eridanus-deadline expect host http2-settings keep-alive link prefer
    ngsild-tenant proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
    via
    """.split()
)  # headers that no pair of contextSourceInfo sets


def asked_in(step: Step) -> str | None:
    """The URL of the @context in whose names the source is asked; None for the core @context."""
    return step.match.source.naming.context or single_url(step.context)


@lru_cache(1000)
def single_url(context: Context) -> str | None:
    """The URL of an @context that is nothing but what is there; None for the core @context and any other."""
    source = context.source
    parts = [part for part in (source if isinstance(source, list) else [source]) if not is_core(part)]
    is_url = len(parts) == 1 and isinstance(parts[0], str) and parts[0].startswith(("http://", "https://"))
    return parts[0] if is_url else None


def is_asked_in_own(step: Step) -> bool:
    """Whether these are the names of the step's own @context, so that its document can go as it came."""
    url, source = asked_in(step), step.context.source
    if url is not None:
        return url == single_url(step.context)
    return source is None or all(map(is_core, source if isinstance(source, list) else [source]))


def request(step: Step, origin: Origin, alias: str, names: Context) -> Request:
    """The request of a step. `names`: the @context that `asked_in` says. `alias`: of the tenant, for Via.

    BadRequestData if its document or a parameter cannot be put in those names.
    """
    route = ROUTES[step.operation]
    return Request(
        route.method,
        _url(step, route, names),
        _headers(step, origin, alias),
        _body(step, names),
    )


def _url(step: Step, route: Route, names: Context) -> str:
    attr = step.attr if step.attr is None or step.attr == "scope" else attribute_name(step.attr, names)
    path = route.path.format(id=_quoted(step.entity_id or ""), attr=_quoted(attr or ""))
    params = sorted(_params(step, names).items(), key=lambda param: _ORDER.get(param[0], len(_ORDER)))
    query = "&".join(f"{name}={quote(value, safe=':/,@*~')}" for name, value in params)
    return f"{step.match.source.endpoint}/ngsi-ld/v1/{path}{'?' if query else ''}{query}"


def _quoted(segment: str) -> str:
    return quote(segment, safe=":@,~")


def _params(step: Step, names: Context) -> dict[str, str]:
    params = query_params(step, names) | dict(_renamed(step, names))
    if step.operation in READS:
        params["options"] = "sysAttrs"
    if step.match.source.is_local_only:
        params["local"] = "true"
    return params


def _renamed(step: Step, names: Context) -> Iterator[tuple[str, str]]:
    """The parameters of the step, with names of types and attributes in those of the source."""
    expand, is_renamed = step.context.expand, names is not step.context
    for name, value in step.params.items():
        if is_renamed and name == "type":
            yield name, show_types(types.parse(value, expand), names.compact)
        elif is_renamed and name in _LISTS:
            iris = (expand(listed.strip()) for listed in value.split(","))
            yield name, ",".join(attribute_name(iri, names) for iri in iris)
        else:
            yield name, value


def _headers(step: Step, origin: Origin, alias: str) -> Mapping[str, str]:
    source, naming = step.match.source, step.match.source.naming
    own = {"Accept": naming.accept, "Via": write_via(origin.via, alias)}
    is_inside = _has_body(step) and _is_ld_json(step)
    if _has_body(step):
        own["Content-Type"] = _LD_JSON if is_inside else "application/json"
    if not is_inside and (url := asked_in(step)) is not None:
        own["Link"] = f'<{url}>; rel="{JSONLD_REL}"; type="{_LD_JSON}"'
    if source.tenant:
        own["NGSILD-Tenant"] = source.tenant
    if naming.version is not None and step.operation in READS:
        own["Prefer"] = f"ngsi-ld={naming.version}"
    return dict(_pairs(source.headers, origin.headers)) | own


def _pairs(pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The pairs of contextSourceInfo that become headers (4.3.6.5)."""
    for key, value in pairs:
        lower = key.lower()
        if lower in _OWN or lower.startswith("content-"):
            continue
        sent = headers.get(key, headers.get(lower)) if value == _REQUEST else value
        if sent is not None:
            yield key, sent


def _has_body(step: Step) -> bool:
    return step.doc is not None or step.operation == "queryBatch"


def _is_ld_json(step: Step) -> bool:
    """Whether the @context goes inside the body."""
    naming = step.match.source.naming
    return naming.content_type == _LD_JSON and naming.context is None


def _body(step: Step, names: Context) -> bytes | None:
    if not _has_body(step):
        return None
    doc: Json = query_body(step, names) if step.operation == "queryBatch" else payload(step, names)
    return orjson.dumps(_with_context(doc, step) if _is_ld_json(step) else doc)


def _with_context(doc: Json, step: Step) -> Json:
    """The document with its @context inside; in a batch, inside of each item."""
    if isinstance(doc, list):
        return [_with_context(item, step) for item in doc]
    return {**doc, "@context": asked_in(step) or CORE_CONTEXT_URL} if isinstance(doc, dict) else doc
