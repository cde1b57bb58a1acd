"""Via headers (clause 6.3.18; RFC 7230, 5.7.1): through which brokers a request came.

Via       = element *("," element)
element   = protocol RWS pseudonym [RWS comment]      ; 1.1 city, HTTP/1.1 gate:8080 (a proxy)
"""

import re
from collections.abc import Iterable

_COMMENT = r"\((?:[^()\\]|\\.|\([^()]*\))*+\)"  # two levels of parentheses
_ELEMENT = re.compile(rf"(?:[^,()]|{_COMMENT}|[()])++")
_BLANKS = re.compile(r"[ \t]+")
MOST = 32  # hops, after which a request is not sent on


def read_via(fields: Iterable[str]) -> tuple[str, ...]:
    """The elements of Via headers, in order."""
    elements = (element.strip(" \t") for field in fields for element in _ELEMENT.findall(field))
    return tuple(_BLANKS.sub(" ", element) for element in elements if element)


def pseudonyms(via: Iterable[str]) -> frozenset[str]:
    """The brokers that the elements name: the second token of each."""
    tokens = (element.split(" ", 2) for element in via)
    return frozenset(parts[1] for parts in tokens if len(parts) > 1)


def write_via(via: Iterable[str], alias: str) -> str:
    """The header of a request that this broker sends on, under one of its aliases."""
    return ", ".join((*via, f"1.1 {alias}"))
