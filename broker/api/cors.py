"""Cross-origin requests (the Fetch standard), for web pages of the origins that a setting names."""

from collections.abc import Collection, Mapping

_EXPOSED = (
    "Link, Location, NGSILD-Results-Count, NGSILD-Tenant, NGSILD-Warning, Preference-Applied, Content-Range, "
    "Accept-Post, Accept-Patch"
)
_ACCEPTED = "Accept, Content-Type, Link, NGSILD-Tenant, Prefer"
_REMEMBERED = "86400"  # seconds for which a browser need not ask again


def cors(origins: Collection[str], headers: Mapping[str, str], methods: str) -> dict[str, str]:
    """The headers to add to an answer; none where the origin is not one of those allowed (`*` allows any)."""
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
        granted["Access-Control-Max-Age"] = _REMEMBERED
    return granted
