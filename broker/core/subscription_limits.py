"""Limits of a subscription beyond its form: bounds of numbers, and endpoints that can be reached at all.

Only bodies that clients send are checked, so a subscription stored before a limit existed stays readable.
"""

import re
from urllib.parse import urlsplit

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.subscription_body import Endpoint, SubscriptionBody

ENTITIES = 500  # selectors, as in the body of a query
LEAST_INTERVAL = 0.1  # seconds of timeInterval
LONGEST = 1_000_000_000  # seconds of timeInterval and throttling: 31 years

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # C0 and C1
_CONTROL_IN_HEADERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 allows tabs and obs-text
_LABEL = 63  # characters of one label of a host name, at most


def check_selectors(doc: dict[str, Json]) -> None:
    """BadRequestData if there are too many entity selectors. It is cheap: it does not read the selectors."""
    entities = doc.get("entities")
    if isinstance(entities, list) and len(entities) > ENTITIES:
        raise BadRequestData(f"entities: expected at most {ENTITIES} selectors, found {len(entities)}")


def check(body: SubscriptionBody) -> None:
    """BadRequestData, which names the member, if the body exceeds a limit."""
    _check_endpoint(body.notification.endpoint)
    _check_seconds("timeInterval", body.time_interval, LEAST_INTERVAL)
    _check_seconds("throttling", body.throttling, 0)


def _check_seconds(member: str, seconds: float | None, least: float) -> None:
    if seconds is not None and not least <= seconds <= LONGEST:
        raise BadRequestData(f"{member}: expected a number of seconds from {least:g} to {LONGEST}")


def _check_endpoint(endpoint: Endpoint) -> None:
    where = "notification.endpoint"
    if (fault := url_fault(endpoint.uri)) is not None:
        raise BadRequestData(f"{where}.uri: expected {fault}")
    for member, pairs in (("receiverInfo", endpoint.receiver_info), ("notifierInfo", endpoint.notifier_info)):
        for n, pair in enumerate(pairs or ()):
            if _CONTROL_IN_HEADERS.search(pair.value):
                raise BadRequestData(f"{where}.{member}.{n}.value: expected text without control characters")


def url_fault(uri: str) -> str | None:
    """What was expected instead of a URI that can never be reached; None if the URI is fine."""
    if _CONTROL.search(uri) or " " in uri:
        return "a URL without spaces and control characters"
    try:
        parts = urlsplit(uri)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        return f"a URL with a host and a port from 1 to 65535 ({error})"
    if port == 0:
        return "a port from 1 to 65535"
    if ":" not in host and not all(0 < len(label) <= _LABEL for label in host.removesuffix(".").split(".")):
        return "a host name of parts of 1 to 63 characters, or an IP address"
    return None
