"""The HTTP server: calls the handler of each request, turns errors into responses, and counts requests."""

import asyncio
import logging
from collections.abc import Awaitable, Collection
from itertools import count
from time import perf_counter
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from broker.api.admission import LARGE, Admission
from broker.api.call import VIA, WARNINGS, new_call
from broker.api.cors import cors
from broker.api.metering import Meter
from broker.api.parsed_requests import ParsedRequests
from broker.api.problem import HttpError, problem
from broker.api.routes import Resource, Route, Router, allowed, described
from broker.core.errors import BadRequestData, InvalidRequest, NgsiLdError, ResourceNotFound
from broker.core.jsonld.link_header import IGNORED
from broker.logs import request_id
from broker.ports.broker import Broker

_WITH_PAYLOAD = (200, 203, 206)
_CLIENT_LEFT = 499  # the status in /metrics of a request whose client disconnected; nginx uses it, too
log = logging.getLogger(__name__)


def _wire_log() -> logging.Logger:
    """The logger of the HTTP server.

    It drops malformed HTTP: the client gets 400, and operators need no line.
    """
    wire = logging.getLogger("broker.api.wire")
    wire.addFilter(
        lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
    )
    return wire


class HttpBinding:
    """The HTTP binding of one worker: answers its requests.

    `process`: the process id, for request ids. `origins`: the CORS origins that are allowed.
    """

    def __init__(
        self, broker: Broker, process: str, *, access_log: bool = False, origins: Collection[str] = ()
    ) -> None:
        self._broker = broker
        self._router = Router()
        self._prefix = process[:6]
        self._parsed_requests = ParsedRequests()
        self._numbers = count(1)
        self._access_log = access_log
        self._origins = origins
        self._meter = Meter()
        self._unfinished: set[asyncio.Future[web.Response]] = set()
        self._admission = Admission(broker.limits.body_bytes)

    def server(self) -> web.Server:
        """An aiohttp low-level server. It does not normalise paths, so the router sees them raw."""
        max_size, loop = self._broker.limits.body_bytes, asyncio.get_running_loop()

        def make(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
            return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=max_size)

        return web.Server(
            self.handle, request_factory=make, handler_cancellation=True, access_log=None, logger=_wire_log()
        )

    async def handle(self, http: web.BaseRequest) -> web.StreamResponse:
        """The response to one request. It raises only CancelledError, when the client has disconnected."""
        began = perf_counter()
        request_id.set(f"{self._prefix}-{next(self._numbers)}")
        path, _, query = http.raw_path.partition("?")
        route = self._router.find(path)
        try:
            answer = await self._answer(http, route, query)
        except asyncio.CancelledError:
            self._meter.note(http.method, _template(route), _CLIENT_LEFT, perf_counter() - began)
            raise
        if self._origins and route:
            answer.headers.update(cors(self._origins, http.headers, allowed(route[0])))
        self._meter.note(http.method, _template(route), answer.status, perf_counter() - began)
        if self._access_log:
            fields = {"method": http.method, "path": http.raw_path, "status": answer.status}
            log.info("request", extra=fields)
        return answer

    async def _answer(self, http: web.BaseRequest, route: Route | None, query: str) -> web.Response:
        try:
            if route is None:
                raise ResourceNotFound("there is no such resource")
            answer = await self._call(http, *route, query)
        except NgsiLdError as error:
            answer = problem(error)
        except HttpError as error:
            answer = web.Response(status=error.status, headers=error.headers)
        except UnicodeEncodeError as error:
            answer = problem(InvalidRequest(f"text that is not Unicode: {error.reason}"))
        except Exception:
            log.exception("a request failed", extra={"method": http.method, "path": http.raw_path})
            answer = problem(NgsiLdError("an internal error; the broker's log says more"))
        if tenant := http.headers.get("NGSILD-Tenant"):
            answer.headers["NGSILD-Tenant"] = tenant
        for warning in http.get(WARNINGS, ()):
            answer.headers.add("NGSILD-Warning", warning)
        return answer

    async def _call(
        self, http: web.BaseRequest, resource: Resource, path: tuple[str, ...], query: str
    ) -> web.Response:
        method = "GET" if http.method == "HEAD" else http.method
        if method == "OPTIONS":
            return web.Response(status=204, headers=described(resource))
        length = http.headers.get("Content-Length")
        if resource.has_body(method) and length is None:
            raise HttpError(411)
        handler = resource.methods.get(method)
        if path and not path[0] and "{entityId}" in resource.template:
            raise BadRequestData("entityId: expected a URI in the path")
        if handler is None or "" in path[-1:]:
            raise HttpError(405, {"Allow": allowed(resource)})
        call = new_call(self._broker, http, path, query, self._parsed_requests)
        if VIA in http.headers and not resource.is_safe(method):
            call.refuse_loop()
        if length is not None and int(length) > LARGE:
            async with self._admission.of(http):
                answer = await self._run(resource, handler(call))
        else:
            answer = await self._run(resource, handler(call))
        if method != "GET" and IGNORED in http:
            answer.headers["NGSILD-Warning"] = IGNORED
        if answer.status in _WITH_PAYLOAD and (version := call.version) is not None:
            answer.headers["Preference-Applied"] = f"ngsi-ld={version[0]}.{version[1]}"
        return answer

    async def _run(self, resource: Resource, work: Awaitable[web.Response]) -> web.Response:
        """The response of a handler.

        If the client disconnects, the handler is cancelled or, if the resource `is_finished`, runs to its
        end.
        """
        if not resource.is_finished:
            return await work
        task = asyncio.ensure_future(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_fault)
            raise


def _log_fault(task: asyncio.Future[web.Response]) -> None:
    """Logs an unexpected exception, since no client is left to get a 500."""
    fault = None if task.cancelled() else task.exception()
    if fault is not None and not isinstance(fault, NgsiLdError | HttpError):
        log.error("a request failed after its client had disconnected", exc_info=fault)


def _template(route: Route | None) -> str:
    return route[0].template if route else "unknown"
