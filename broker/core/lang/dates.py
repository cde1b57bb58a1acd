"""Dates, times and date-times (clause 4.6.3) among the values that clients send.

Such a value is a plain string of one of the FORMS. It stays as it was sent, so what compares is its
`key`: the text without Z and with all six digits of its fraction, which sorts as the moments do.
"""

import re

from broker.core import Json

_DATE = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = "(?:[.,][0-9]{1,6})?"

# Regular expressions that RE, RE2 and PCRE read alike, without anchors.
FORMS = {
    "dateTime": f"{_DATE}T{_CLOCK}{_FRACTION}Z",
    "date": _DATE,
    "time": f"{_CLOCK}{_FRACTION}Z",
}
_COMPILED = {kind: re.compile(form) for kind, form in FORMS.items()}


def plain(text: str) -> str:
    """The text of a moment without its Z, and with a point before its fraction."""
    return text.removesuffix("Z").replace(",", ".")


def key(kind: str, value: Json) -> str | None:
    """What a value compares by as a moment of this kind; None if it isn't one."""
    if not isinstance(value, str) or not _COMPILED[kind].fullmatch(value):
        return None
    return padded(plain(value))


def padded(plain_text: str) -> str:
    """The key of a moment that `plain` gave."""
    base, _, fraction = plain_text.partition(".")
    return f"{base}.{fraction:0<6}"
