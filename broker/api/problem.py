"""Errors as HTTP responses (clause 6.3.2). Only this module maps errors to statuses."""

import orjson
from aiohttp import web

from broker.core import Json, errors

_STATUS: dict[type[errors.NgsiLdError], int] = {
    errors.AlreadyExists: 409,
    errors.BadGateway: 502,
    errors.BadRequestData: 400,
    errors.Conflict: 409,
    errors.GatewayTimeout: 504,
    errors.InvalidRequest: 400,
    errors.LdContextNotAvailable: 504,
    errors.LoopDetected: 508,
    errors.NonexistentTenant: 404,
    errors.OperationNotSupported: 422,
    errors.ResourceNotFound: 404,
    errors.TooComplexQuery: 403,
    errors.TooManyResults: 403,
    errors.Unavailable: 503,
}


class HttpError(Exception):
    """An error of HTTP itself, whose response has no body: 405, 411, 415 and the like."""

    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers or {}


class NotAcceptable(errors.NgsiLdError):
    """6.3.4: the client accepts none of the media types that are offered; the detail lists these."""

    type = "https://uri.etsi.org/ngsi-ld/errors/InvalidRequest"
    title = "Not acceptable"


class TooLarge(errors.NgsiLdError):
    """The body is larger than the broker accepts."""

    type = "https://uri.etsi.org/ngsi-ld/errors/BadRequestData"
    title = "Request body too large"


_STATUS |= {NotAcceptable: 406, TooLarge: 413}


def status(error: errors.NgsiLdError) -> int:
    """The HTTP status of an error."""
    return _STATUS.get(type(error), 500)


def details(error: Exception) -> dict[str, Json]:
    """The ProblemDetails of an error. Any error but an NgsiLdError is internal: its text is not shown."""
    if not isinstance(error, errors.NgsiLdError):
        error = errors.NgsiLdError("an internal error; the broker's log says more")
    return {"type": error.type, "title": error.title, "detail": error.detail, "status": status(error)}


def batch_error(error: Exception, entity_id: str | None, registration: str | None) -> dict[str, Json]:
    """A BatchEntityError (5.2.17). `registration`: of the source that answered so; None: here."""
    entity = {} if entity_id is None else {"entityId": entity_id}
    source = {} if registration is None else {"registrationId": registration}
    return {**entity, "error": details(error), **source}


def problem(error: errors.NgsiLdError) -> web.Response:
    """The response to a request that failed."""
    headers = {"Content-Type": "application/json"}
    if isinstance(error, errors.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    return web.Response(status=status(error), body=orjson.dumps(details(error)), headers=headers)
