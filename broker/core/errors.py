"""The error types of clause 5.5.2. `api.problem` gives each its HTTP status (table 6.3.2-1)."""


class NgsiLdError(Exception):
    """Something the requester is told, as a ProblemDetails (RFC 9457) of the type in `type`."""

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
    """The request includes input data which does not meet the requirements of the operation."""

    type = "https://uri.etsi.org/ngsi-ld/errors/BadRequestData"
    title = "Bad request data"


class Conflict(NgsiLdError):
    """The operation cannot be done in the present state of what it refers to."""

    type = "https://uri.etsi.org/ngsi-ld/errors/Conflict"
    title = "Conflict"


class InvalidRequest(NgsiLdError):
    """The request associated to the operation is syntactically invalid or includes wrong content."""

    type = "https://uri.etsi.org/ngsi-ld/errors/InvalidRequest"
    title = "Invalid request"


class LdContextNotAvailable(NgsiLdError):
    """A remote JSON-LD @context referenced in a request cannot be retrieved."""

    type = "https://uri.etsi.org/ngsi-ld/errors/LdContextNotAvailable"
    title = "@context not available"


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
    """Not of the specification: overloaded, or the database is away; the client may try again."""

    title = "Temporarily unavailable"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
