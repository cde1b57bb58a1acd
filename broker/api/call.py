"""A request as the handlers see it: who asks, in which names, with what (clauses 6.3.4, 6.3.5, 6.3.14)."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import unquote

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from broker.api.accept import JSON, LD_JSON, MERGE_PATCH, TAKEN, negotiate, preferences, taken
from broker.api.link_header import IGNORED, linked_context
from broker.api.params import Params, of_list, read_params
from broker.api.parsed_requests import Read, Readings
from broker.api.problem import HttpError, TooLarge
from broker.core import Json
from broker.core.entity.downgrade import CURRENT, Version, conformant
from broker.core.errors import BadRequestData, InvalidRequest, LdContextNotAvailable
from broker.core.jsonld.context import Context
from broker.ports.broker import Broker, Limits

_PATIENCE = 20.0  # seconds for the @contexts of all items of a batch
_VALUE = 8  # bytes of the largest body for each value that one may have: about what it takes in the database
_QUERY = 1024**2  # bytes of a query or subscription, at most
_TURN = 0.005  # seconds for the items of a batch before other requests get a turn
_TENANT = re.compile(r"[\w.:\-]{1,256}", re.ASCII)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` holds the variable parts of the path, decoded; `query` is the raw query string."""

    broker: Broker
    http: web.BaseRequest
    path: tuple[str, ...]
    params: Params
    tenant: str
    query: str = ""
    readings: Readings = field(default_factory=Readings)

    @property
    def accept(self) -> str:
        """The media type to answer with."""
        return negotiate(self.http.headers.get("Accept"))

    @property
    def root(self) -> str:
        """This broker's own URL, as clients know it: by setting, or as this one called it."""
        if self.broker.public_url is not None:
            return self.broker.public_url
        host = self.http.headers.get("Host")
        return f"{self.http.scheme}://{host}" if host else ""

    @property
    def preferences(self) -> dict[str, str]:
        """What the client would like (RFC 7240)."""
        return {} if (prefer := self._prefer) is None else preferences(prefer)

    @property
    def version(self) -> Version | None:
        """The version of the specification that the answer conforms to, if the client prefers one (6.3.6)."""
        return None if self._prefer is None else conformant(self.preferences.get("ngsi-ld", ""))

    @property
    def older(self) -> Version | None:
        """That version, if it is older than ours, so that what is shown may have to be downgraded."""
        return None if (version := self.version) == CURRENT else version

    @property
    def _prefer(self) -> str | None:
        headers = self.http.headers
        return ", ".join(headers.getall("Prefer")) if "Prefer" in headers else None

    def read(self, reader: "Callable[[Call, Context], Read]", context: Context) -> Read:
        """What a reader makes of the parameters, Accept and Prefer in a context, and of nothing else."""
        beside = (self.http.headers.get("Accept"), self._prefer, context)
        return self.readings.get(reader, self.query, beside, self, context)

    def of_list(self) -> "Call":
        """The call as one of a list, that has a count."""
        return replace(self, params=of_list(self.params))

    async def context(self) -> Context:
        """The @context of a request without a body: that of its Link header, or the core."""
        links = self.http.headers.getall("Link", None)
        if links is None:
            return self.broker.contexts.core
        url = linked_context(header := ", ".join(links))
        if url is None and header.strip():
            self.http[IGNORED] = True
        return await self.broker.contexts.resolve(url, self.tenant)

    async def context_for(self, name: str | None) -> Context:
        """The context for one name, or for none: not fetched where there is nothing to expand (5.5.2)."""
        if name is None or name.partition(":")[2].startswith("//"):
            return self.broker.contexts.core
        return await self.context()

    async def named(self, context: Context) -> Context:
        """The context under a URL, as a Link header needs it: what came inline gets one of ours (5.13.1)."""
        url = await self.broker.context_storage.url(self.tenant, context.source, self.root)
        return context if url == context.source else context.under(url)

    async def body(self) -> tuple[Json, Context]:
        """The JSON body without its @context, and the context that its names are of (6.3.5)."""
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
        """The body of a query or subscription; TooLarge if it is longer than any needs, unpacked."""
        content_type(self.http)
        if (self.http.content_length or 0) > _QUERY or len(await read_body(self.http)) > _QUERY:
            raise TooLarge(f"body: expected at most {_QUERY} bytes in a query or subscription")
        return await self.body()

    async def bodies(self, *, plain: bool = False) -> tuple[list[Json], list[Context | Exception]]:
        """The items of a JSON array, and the context of each: its own in application/ld+json (6.3.5).

        `plain`: the items are no JSON-LD, only ids.
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
            until = asyncio.get_running_loop().time() + _PATIENCE
            return docs, [await self._own_context(doc, until) async for doc in unhurried(docs)]
        context = await self.context_for(None) if plain else await self.context()
        return docs, [_refusal(doc) or context for doc in docs]

    async def _own_context(self, doc: Json, until: float) -> Context | Exception:
        if not isinstance(doc, dict) or "@context" not in doc:
            return BadRequestData("@context: expected in each item of application/ld+json")
        try:
            async with asyncio.timeout_at(until):  # what is known already is had in no time, even then
                return await self.broker.contexts.resolve(doc.pop("@context"), self.tenant)
        except TimeoutError:
            return LdContextNotAvailable("@context: not had in time, after those of the other items")
        except Exception as error:  # of this item alone
            return error

    def _refuse_link(self) -> None:
        if "Link" in self.http.headers:
            raise BadRequestData("Link: not allowed with application/ld+json, whose @context is in the body")


async def unhurried(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items, with turns for other requests in between."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for item in items:
        yield item
        if loop.time() - began > _TURN:
            await asyncio.sleep(0)
            began = loop.time()


def new_call(
    broker: Broker, http: web.BaseRequest, path: tuple[str, ...], query: str, readings: Readings
) -> Call:
    """The call of a request whose route is known; `readings` are those of this broker."""
    tenant = http.headers.get("NGSILD-Tenant", "")
    if tenant and not _TENANT.fullmatch(tenant):
        raise BadRequestData("NGSILD-Tenant: expected letters, digits and the characters _ . : -")
    if path and "%" in "".join(path):
        path = tuple(map(unquote, path))
    params = readings.get(read_params, query, None, query) if query else {}
    return Call(broker, http, path, params, tenant, query, readings)


def content_type(http: web.BaseRequest) -> str:
    """The media type of the body; 415, which says what is taken, if it is none of JSON's."""
    media = http.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media not in TAKEN[http.method]:
        raise HttpError(415, taken(http.method))
    return JSON if media == MERGE_PATCH else media


async def read_body(http: web.BaseRequest) -> bytes:
    """The whole body, which stays with the request. TooLarge or InvalidRequest if it can't be had."""
    try:
        return await http.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge("body: larger than this broker takes") from error
    except HttpProcessingError as error:
        raise InvalidRequest(f"body: {error.message}") from error
    except ConnectionError as error:  # the client went away: nothing is wrong with us
        raise InvalidRequest("body: ended before its Content-Length") from error


async def read_json(http: web.BaseRequest, limits: Limits) -> Json:
    """The body as JSON. InvalidRequest if it is none; BadRequestData if there is too much in it."""
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
    """Refuses what is nested too deeply or has too many values: goes down level by level."""
    level, left = [doc], limits.body_bytes // _VALUE
    for _ in range(limits.depth + 1):
        left -= sum(map(len, level))
        if left < 0:
            raise BadRequestData(f"body: expected at most {limits.body_bytes // _VALUE} values in it")
        inside = (inner for one in level for inner in (one.values() if type(one) is dict else one))
        level = [inner for inner in inside if type(inner) in (dict, list)]
        if not level:
            return
    raise BadRequestData(f"body: nested deeper than {limits.depth} levels")


def _refusal(doc: Json) -> BadRequestData | None:
    """6.3.5: application/json takes its @context from the Link header only; the error if it doesn't."""
    if isinstance(doc, dict) and "@context" in doc:
        return BadRequestData("@context: not allowed in application/json; use application/ld+json or a Link")
    return None
