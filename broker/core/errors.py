"""The error types of clause 5.5.2. `api.problem` gives each its HTTP status (table 6.3.2-1)."""


class NgsiLdError(Exception):
    """An error that the client gets as ProblemDetails (RFC 9457) with this `type`, `title` and `detail`."""

    type = "https://uri.etsi.org/ngsi-ld/errors/InternalError"
    title = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class AlreadyExists(NgsiLdError):
    """The referred element already exists."""

    type = "https://uri.etsi.org/ngsi-ld/errors/AlreadyExists"
    title = "Already exists"


class BadRequestData(NgsiLdError):
    """The input data does not meet the requirements of the operation."""

    type = "https://uri.etsi.org/ngsi-ld/errors/BadRequestData"
    title = "Bad request data"


class Conflict(NgsiLdError):
    """The operation is not possible in the present state of the resource."""

    type = "https://uri.etsi.org/ngsi-ld/errors/Conflict"
    title = "Conflict"


class BadGateway(NgsiLdError):
    """The one context source that holds the data failed (6.3.17)."""

    title = "A context source failed"


class GatewayTimeout(NgsiLdError):
    """The one context source that holds the data did not answer in time (6.3.17)."""

    title = "A context source did not answer in time"


class InvalidRequest(NgsiLdError):
    """The request is syntactically invalid or has wrong content."""

    type = "https://uri.etsi.org/ngsi-ld/errors/InvalidRequest"
    title = "Invalid request"


class LdContextNotAvailable(NgsiLdError):
    """A remote JSON-LD @context referenced in a request cannot be retrieved."""

    type = "https://uri.etsi.org/ngsi-ld/errors/LdContextNotAvailable"
    title = "@context not available"


class LoopDetected(NgsiLdError):
    """The request has been at this broker before, or its one context source sent it back here (6.3.17)."""

    title = "Loop detected"


class NonexistentTenant(NgsiLdError):
    """The addressed tenant does not exist."""

    type = "https://uri.etsi.org/ngsi-ld/errors/NonexistentTenant"
    title = "Nonexistent tenant"


class OperationNotSupported(NgsiLdError):
    """The operation is not supported."""

    type = "https://uri.etsi.org/ngsi-ld/errors/OperationNotSupported"
    title = "Operation not supported"


class ResourceNotFound(NgsiLdError):
    """The referred resource has not been found."""

    type = "https://uri.etsi.org/ngsi-ld/errors/ResourceNotFound"
    title = "Resource not found"


class TooComplexQuery(NgsiLdError):
    """The query is too complex and cannot be resolved."""

    type = "https://uri.etsi.org/ngsi-ld/errors/TooComplexQuery"
    title = "Too complex query"


class TooManyResults(NgsiLdError):
    """The query would produce so many results that it can exhaust the broker."""

    type = "https://uri.etsi.org/ngsi-ld/errors/TooManyResults"
    title = "Too many results"


class Unavailable(NgsiLdError):
    """The broker is overloaded or the database unreachable; the client may retry after `retry_after` seconds.

    Not of the specification.
    """

    title = "Temporarily unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
