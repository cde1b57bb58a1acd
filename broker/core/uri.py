"""URIs and names (clauses 4.5.1, 4.6.2)."""

import re
from functools import lru_cache

# Invisible characters, characters that change the direction of writing, and noncharacters of Unicode.
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff"
) + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
# A scheme, then any characters but those that RFC 3986 and RFC 3987 both forbid.
_URI = re.compile(rf'[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>"{{}}|\\^`\x00-\x20\x7f-\x9f\ud800-\udfff{_HIDDEN}]+')
_NAME = re.compile(r"[^\W\d_]\w*(?::[^\W\d_]\w*)?")
NULL = "urn:ngsi-ld:null"


def is_uri(text: object) -> bool:
    """Whether this is an absolute URI or IRI."""
    return isinstance(text, str) and _is_uri(text)


@lru_cache(10_000)
def _is_uri(text: str) -> bool:
    return _URI.fullmatch(text) is not None


@lru_cache(10_000)
def is_name(text: str) -> bool:
    """Whether this may name a type or an attribute: a term, prefix:term, or a full IRI."""
    if _NAME.fullmatch(text) is not None:
        return all(part[0].isalpha() for part in text.split(":"))
    return _URI.fullmatch(text) is not None and not _is_dots(text)


def _is_dots(text: str) -> bool:
    return set(text.rpartition(":")[2]) <= {".", "/"}
