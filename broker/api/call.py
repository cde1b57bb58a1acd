"""A request as handlers see it: tenant, @context, parameters and body (clauses 6.3.4, 6.3.5, 6.3.14)."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import unquote

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from broker.api.accept import JSON, LD_JSON, MERGE_PATCH, TAKEN, negotiate, preferences, taken
from broker.api.params import LOCAL, Params, flag, of_list, read_params
from broker.api.parsed_requests import ParsedRequests, Read
from broker.api.problem import HttpError, TooLarge
from broker.core import Json
from broker.core.entity.downgrade import CURRENT, Version, conformant
from broker.core.errors import BadRequestData, InvalidRequest, LdContextNotAvailable, LoopDetected
from broker.core.federation.origin import Origin
from broker.core.federation.via import MOST, pseudonyms, read_via
from broker.core.federation.wire import DEADLINE
from broker.core.identity import alias
from broker.core.jsonld.context import Context
from broker.core.jsonld.link_header import IGNORED, linked_context
from broker.core.uri import is_uri
from broker.ports.broker import Broker, Limits

_PATIENCE = 20.0  # seconds in which the @contexts of all items of a batch must be loaded
_VALUE = 8  # bytes of the largest body per value that a body may have: about what a value takes in MongoDB
_QUERY = 1024**2  # bytes, the largest body of a query, subscription or registration
_TURN = 0.005  # seconds of work on a batch, before other requests get a turn
_TENANT = re.compile(r"[\w.:\-]{1,256}", re.ASCII)

VIA = "Via"
WARNINGS = "warnings"  # the key of a request under which warnings for its response are kept

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    `path`: the variable segments of the path, decoded. `query`: the raw query string. `params`: its
    parameters. `parsed`: the cache of parsed requests.
    """

    broker: Broker
    http: web.BaseRequest
    path: tuple[str, ...]
    params: Params
    tenant: str
    query: str = ""
    parsed: ParsedRequests = field(default_factory=ParsedRequests)

    @property
    def accept(self) -> str:
        """The media type of the response. NotAcceptable if the client accepts none that is offered."""
        return negotiate(self.http.headers.get("Accept"))

    @property
    def root(self) -> str:
        """The root URL of this broker: from the settings, otherwise from the Host header; may be empty."""
        if self.broker.public_url is not None:
            return self.broker.public_url
        host = self.http.headers.get("Host")
        return f"{self.http.scheme}://{host}" if host else ""

    @property
    def preferences(self) -> dict[str, str]:
        """The preferences of the Prefer header, by name (RFC 7240)."""
        return {} if (prefer := self._prefer) is None else preferences(prefer)

    @property
    def version(self) -> Version | None:
        """The version of the specification to conform to; None if the client prefers none (6.3.6)."""
        return None if self._prefer is None else conformant(self.preferences.get("ngsi-ld", ""))

    @property
    def older(self) -> Version | None:
        """`version` if it is older than the broker's: responses are downgraded to it. Otherwise None."""
        return None if (version := self.version) == CURRENT else version

    @property
    def _prefer(self) -> str | None:
        headers = self.http.headers
        return ", ".join(headers.getall("Prefer")) if "Prefer" in headers else None

    @property
    def origin(self) -> Origin:
        """Who asked, as far as context sources must know. A loop of reads ends here (6.3.17, 6.3.18)."""
        headers = self.http.headers
        is_local = flag(self.params, LOCAL)
        if VIA not in headers:
            return Origin(self.tenant, (), is_local, headers, self._deadline())
        via = read_via(headers.getall(VIA))
        if self.alias in pseudonyms(via):
            self.warn(
                [f'199 {self.alias} "the request was at this broker before; its sources are not asked"']
            )
            is_local = True
        return Origin(self.tenant, via, is_local or len(via) > MOST, headers, self._deadline())

    def _deadline(self) -> float | None:
        """When the broker that sent the request gives up (event loop's time); None if it does not say."""
        left = self.http.headers.get(DEADLINE, "")
        is_number = left.isascii() and left.isdigit() and len(left) < 10
        return asyncio.get_running_loop().time() + int(left) / 1000 if is_number else None

    @property
    def alias(self) -> str:
        """The pseudonym of this broker in Via headers, for the tenant of the request."""
        return alias(self.broker.alias, self.tenant)

    def refuse_loop(self) -> None:
        """LoopDetected if the request has been at this broker before (6.3.17)."""
        if self.alias in pseudonyms(read_via(self.http.headers.getall(VIA))):
            raise LoopDetected(f"Via: the request was at {self.alias} before")

    def warn(self, warnings: Collection[str]) -> None:
        """Adds NGSILD-Warning headers (6.3.17) to the response, whatever that will be."""
        if warnings:
            self.http[WARNINGS] = [*self.http.get(WARNINGS, ()), *warnings]

    def path_uri(self, name: str) -> str:
        """The URI in the path, which the specification calls `name`; BadRequestData if it is none."""
        if not is_uri(self.path[0]):
            raise BadRequestData(f"{name}: expected a URI in the path")
        return self.path[0]

    def read(self, reader: "Callable[[Call, Context], Read]", context: Context) -> Read:
        """`reader(call, context)`, cached. It may look at the parameters, Accept and Prefer only."""
        beside = (self.http.headers.get("Accept"), self._prefer, context)
        return self.parsed.get(reader, self.query, beside, self, context)

    def of_list(self) -> "Call":
        """The call with the parameters of a list: `options=count` becomes `count=true`."""
        return replace(self, params=of_list(self.params))

    async def context(self) -> Context:
        """The @context of the Link header; the core context if there is none.

        It marks the request (IGNORED) if the header names no @context. LdContextNotAvailable or
        BadRequestData if the @context cannot be used.
        """
        links = self.http.headers.getall("Link", None)
        if links is None:
            return self.broker.contexts.core
        url = linked_context(header := ", ".join(links))
        if url is None and header.strip():
            self.http[IGNORED] = True
        return await self.broker.contexts.resolve(url, self.tenant)

    async def context_for(self, name: str | None) -> Context:
        """The @context to expand one name with. It is not loaded if the name is a URI or None (5.5.2)."""
        if name is None or name.partition(":")[2].startswith("//"):
            return self.broker.contexts.core
        return await self.context()

    async def named(self, context: Context) -> Context:
        """The same context under a URL, for a Link header.

        An inline @context is stored by the broker (5.13.1).
        """
        url = await self.broker.context_storage.url(self.tenant, context.source, self.root)
        return context if url == context.source else context.under(url)

    async def body(self) -> tuple[Json, Context]:
        """(JSON body without @context, the context of its names) (6.3.5).

        HttpError 415, TooLarge, InvalidRequest or BadRequestData if the body is wrong;
        LdContextNotAvailable if its @context is.
        """
        media = content_type(self.http)
        doc = await read_json(self.http, self.broker.limits)
        if not isinstance(doc, dict):
            raise InvalidRequest("body: expected a JSON object")
        if media == LD_JSON:
            self._refuse_link()
            if "@context" not in doc:
                raise BadRequestData("@context: expected in the body of application/ld+json")
            return doc, await self.broker.contexts.resolve(doc.pop("@context"), self.tenant)
        if refusal := _refusal(doc):
            raise refusal
        return doc, await self.context()

    async def query_body(self) -> tuple[Json, Context]:
        """`body()` of a query, subscription or registration. TooLarge over 1 MiB, decompressed.

        HttpError, InvalidRequest, BadRequestData or LdContextNotAvailable as there.
        """
        content_type(self.http)
        if (self.http.content_length or 0) > _QUERY or len(await read_body(self.http)) > _QUERY:
            raise TooLarge(f"body: expected at most {_QUERY} bytes in a query, subscription or registration")
        return await self.body()

    async def bodies(self, *, plain: bool = False) -> tuple[list[Json], list[Context | Exception]]:
        """(items of a JSON array, the context of each item or the error in its place) (6.3.5).

        In application/ld+json each item has its own @context. `plain`: the items are ids, without an
        @context. HttpError 415, InvalidRequest, BadRequestData or TooLarge if the array as a whole is
        wrong.
        """
        media = content_type(self.http)
        limits = self.broker.limits
        docs = await read_json(self.http, limits)
        if not isinstance(docs, list) or not docs:
            raise BadRequestData("body: expected an array of at least one item")
        if len(docs) > limits.batch:
            raise TooLarge(f"body: expected at most {limits.batch} items")
        if None in docs:
            raise BadRequestData("body: expected items, not null")
        if media == LD_JSON and not plain:
            self._refuse_link()
            deadline = asyncio.get_running_loop().time() + _PATIENCE
            return docs, [await self._own_context(doc, deadline) async for doc in unhurried(docs)]
        context = await self.context_for(None) if plain else await self.context()
        return docs, [_refusal(doc) or context for doc in docs]

    async def _own_context(self, doc: Json, deadline: float) -> Context | Exception:
        if not isinstance(doc, dict) or "@context" not in doc:
            return BadRequestData("@context: expected in each item of application/ld+json")
        try:
            async with asyncio.timeout_at(deadline):  # cached @contexts need no time, even after it
                return await self.broker.contexts.resolve(doc.pop("@context"), self.tenant)
        except TimeoutError:
            return LdContextNotAvailable("@context: not loaded in time, after those of other items")
        except Exception as error:  # it fails this item only
            return error

    def _refuse_link(self) -> None:
        if "Link" in self.http.headers:
            raise BadRequestData("Link: not allowed with application/ld+json, whose @context is in the body")


async def unhurried(items: Iterable[Item]) -> AsyncIterator[Item]:
    """Yields the items, and lets the event loop run other tasks now and then."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for item in items:
        yield item
        if loop.time() - began > _TURN:
            await asyncio.sleep(0)
            began = loop.time()


def new_call(
    broker: Broker, http: web.BaseRequest, path: tuple[str, ...], query: str, parsed: ParsedRequests
) -> Call:
    """The call of a routed request; `path`: the raw variable segments.

    BadRequestData if the tenant is invalid.
    """
    tenant = http.headers.get("NGSILD-Tenant", "")
    if tenant and not _TENANT.fullmatch(tenant):
        raise BadRequestData("NGSILD-Tenant: expected letters, digits and the characters _ . : -")
    if path and "%" in "".join(path):
        path = tuple(map(unquote, path))
    params = parsed.get(read_params, query, None, query) if query else {}
    return Call(broker, http, path, params, tenant, query, parsed)


def content_type(http: web.BaseRequest) -> str:
    """The media type of the body, JSON for a merge patch. HttpError 415 if it is not accepted."""
    media = http.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media not in TAKEN[http.method]:
        raise HttpError(415, taken(http.method))
    return JSON if media == MERGE_PATCH else media


async def read_body(http: web.BaseRequest) -> bytes:
    """The whole body, cached by the request. TooLarge, or InvalidRequest if it is incomplete or malformed."""
    try:
        return await http.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge("body: larger than this broker accepts") from error
    except HttpProcessingError as error:
        raise InvalidRequest(f"body: {error.message}") from error
    except ConnectionError as error:  # the client disconnected: no fault of the broker
        raise InvalidRequest("body: ended before its Content-Length") from error


async def read_json(http: web.BaseRequest, limits: Limits) -> Json:
    """The body as JSON.

    InvalidRequest if it is not JSON; BadRequestData if too deep or of too many values; TooLarge if too long.
    """
    text = await read_body(http)
    try:
        doc = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"body: expected JSON: {error}") from error
    if type(doc) in (dict, list):
        brackets = text.count(b"[") + text.count(b"{")
        if brackets > limits.depth or text.count(b",") > limits.body_bytes // _VALUE:
            _bound(doc, limits)
    return doc


def _bound(doc: Json, limits: Limits) -> None:
    """Checks depth and number of values, level by level. BadRequestData if either is too large."""
    level, left = [doc], limits.body_bytes // _VALUE
    for _ in range(limits.depth + 1):
        left -= sum(map(len, level))
        if left < 0:
            raise BadRequestData(f"body: expected at most {limits.body_bytes // _VALUE} values in it")
        children = (child for doc in level for child in (doc.values() if type(doc) is dict else doc))
        level = [child for child in children if type(child) in (dict, list)]
        if not level:
            return
    raise BadRequestData(f"body: nested deeper than {limits.depth} levels")


def _refusal(doc: Json) -> BadRequestData | None:
    """6.3.5: the error of an application/json document with an @context; None if it has none."""
    if isinstance(doc, dict) and "@context" in doc:
        return BadRequestData("@context: not allowed in application/json; use application/ld+json or a Link")
    return None
