"""Cross-origin requests (the Fetch standard) from the origins that the settings allow."""

from collections.abc import Collection, Mapping

_EXPOSED = (
    "Link, Location, NGSILD-Results-Count, NGSILD-Tenant, NGSILD-Warning, Preference-Applied, Content-Range, "
    "Accept-Post, Accept-Patch"
)
_ACCEPTED = "Accept, Content-Type, Link, NGSILD-Tenant, Prefer"
_MAX_AGE = "86400"  # seconds for which a browser may cache a preflight response


def cors(origins: Collection[str], headers: Mapping[str, str], methods: str) -> dict[str, str]:
    """The CORS headers of a response; none if the origin is not allowed.

    `origins` may contain `*` for any.
    """
    origin = headers.get("Origin")
    if origin is None or not ("*" in origins or origin in origins):
        return {}
    granted = {
        "Access-Control-Allow-Origin": "*" if "*" in origins else origin,
        "Access-Control-Expose-Headers": _EXPOSED,
        "Vary": "Origin",
    }
    if "Access-Control-Request-Method" in headers:
        granted["Access-Control-Allow-Methods"] = methods
        granted["Access-Control-Allow-Headers"] = _ACCEPTED
        granted["Access-Control-Max-Age"] = _MAX_AGE
    return granted
