"""Errors as HTTP (clause 6.3.2): the only place that knows which status an error has."""

import orjson
from aiohttp import web

from broker.core import errors

_STATUS: dict[type[errors.NgsiLdError], int] = {
    errors.AlreadyExists: 409,
    errors.BadRequestData: 400,
    errors.Conflict: 409,
    errors.InvalidRequest: 400,
    errors.LdContextNotAvailable: 504,
    errors.NonexistentTenant: 404,
    errors.OperationNotSupported: 422,
    errors.ResourceNotFound: 404,
    errors.TooComplexQuery: 403,
    errors.TooManyResults: 403,
    errors.Unavailable: 503,
}


class HttpError(Exception):
    """An answer that HTTP itself asks for, with no body: 405, 411, 415 and their like."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers or {}


class NotAcceptable(errors.NgsiLdError):
    """6.3.4: none of the media types that the client accepts can be had; the detail lists those that can."""

    type = "https://uri.etsi.org/ngsi-ld/errors/InvalidRequest"
    title = "Not acceptable"


class TooLarge(errors.NgsiLdError):
    """The body is larger than the broker takes."""

    type = "https://uri.etsi.org/ngsi-ld/errors/BadRequestData"
    title = "Request body too large"


_STATUS |= {NotAcceptable: 406, TooLarge: 413}


def status(error: errors.NgsiLdError) -> int:
    """The HTTP status of an error."""
    return _STATUS.get(type(error), 500)


def details(error: Exception) -> dict[str, object]:
    """The ProblemDetails of an error. What is no NgsiLdError is a fault of ours, and is told no one."""
    if not isinstance(error, errors.NgsiLdError):
        error = errors.NgsiLdError("an internal error; the broker's log says more")
    return {"type": error.type, "title": error.title, "detail": error.detail, "status": status(error)}


def problem(error: errors.NgsiLdError) -> web.Response:
    """The answer to a request that failed."""
    headers = {"Content-Type": "application/json"}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    return web.Response(status=status(error), body=orjson.dumps(details(error)), headers=headers)
