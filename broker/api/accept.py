"""Content negotiation (clause 6.3.4)."""

from functools import lru_cache

from broker.api.problem import NotAcceptable

JSON = "application/json"
LD_JSON = "application/ld+json"
_OFFERED = (JSON, LD_JSON)  # in the order that breaks ties, whatever the client's


@lru_cache(maxsize=500)
def negotiate(accept: str | None) -> str:
    """The media type to answer with; NotAcceptable if the client wants none of ours."""
    if not accept:
        return JSON
    ranges = [_range(one) for one in accept.split(",")]
    weights = {media: _weight(media, ranges) for media in _OFFERED}
    best = max(weights.values())
    if best <= 0:
        raise NotAcceptable("Accept: expected one of " + ", ".join(_OFFERED))
    return next(media for media in _OFFERED if weights[media] == best)


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
    """The weight that the most specific range gives to a media type."""
    for pattern in (media, media.partition("/")[0] + "/*", "*/*"):
        weights = [weight for one, weight in ranges if one == pattern]
        if weights:
            return max(weights)
    return 0.0
