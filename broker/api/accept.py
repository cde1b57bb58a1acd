"""Content negotiation (clause 6.3.4)."""

import re
from functools import lru_cache

from broker.api.problem import NotAcceptable

JSON = "application/json"
LD_JSON = "application/ld+json"
GEO_JSON = "application/geo+json"
MERGE_PATCH = "application/merge-patch+json"
# Media types that can be offered, by preference: the first wins if the client's weights are equal.
LINKED = (JSON, LD_JSON)
SPATIAL = (JSON, LD_JSON, GEO_JSON)
# The media types of request bodies by method, and the response header that lists them.
TAKEN = {"POST": LINKED, "PUT": LINKED, "PATCH": (*LINKED, MERGE_PATCH)}
_SAYING = {"POST": "Accept-Post", "PUT": "Accept", "PATCH": "Accept-Patch"}
# A preference: a name, a value (quoted, or a token), and parameters, which are skipped.
_PREFERENCE = re.compile(
    r"""([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,;"]*)))?(?:[^,"]|"[^"]*")*,?""", re.ASCII
)


@lru_cache(maxsize=500)
def negotiate(accept: str | None, offered: tuple[str, ...] = LINKED) -> str:
    """The media type of the response. NotAcceptable if the client accepts none of those offered."""
    if not accept:
        return JSON
    ranges = [_range(item) for item in accept.split(",")]
    weights = {media: _weight(media, ranges) for media in offered}
    best = max(weights.values())
    if best <= 0:
        raise NotAcceptable("Accept: expected one of " + ", ".join(offered))
    return next(media for media in offered if weights[media] == best)


def taken(method: str) -> dict[str, str]:
    """The header that lists the media types of bodies of this method (RFC 5789, RFC 9110, LDP)."""
    return {_SAYING[method]: ", ".join(TAKEN[method])} if method in TAKEN else {}


@lru_cache(maxsize=500)
def preferences(prefer: str | None) -> dict[str, str]:
    """The preferences of a Prefer header (RFC 7240), by name in lower case. The first of a name wins."""
    values: dict[str, str] = {}
    for name, quoted, token in _PREFERENCE.findall(prefer or ""):
        values.setdefault(name.lower(), quoted or token)
    return values


def _range(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return media.lower(), _quality(value.strip())
    return media.lower(), 1.0


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 1.0


def _weight(media: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of a media type: that of the most specific range that matches it; 0 if none does."""
    for pattern in (media, media.partition("/")[0] + "/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == pattern]
        if weights:
            return max(weights)
    return 0.0
