"""URIs and names (clauses 4.5.1, 4.6.2)."""

import re

# A scheme and anything that neither a URI nor an IRI forbids outright (RFC 3986, RFC 3987).
_URI = re.compile(r'[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>"{}|\\^`\x00-\x20\x7f]+')
_NAME = re.compile(r"[^\W\d_]\w*(?::[^\W\d_]\w*)?")
NULL = "urn:ngsi-ld:null"


def is_uri(text: object) -> bool:
    """Whether this is an absolute URI or IRI."""
    return isinstance(text, str) and _URI.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether this may name a type or an attribute: a term, prefix:term, or a full IRI."""
    return _NAME.fullmatch(text) is not None or (_URI.fullmatch(text) is not None and not _is_dots(text))


def _is_dots(text: str) -> bool:
    return set(text.rpartition(":")[2]) <= {".", "/"}
