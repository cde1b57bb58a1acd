"""Dates, times and date-times (clause 4.6.3) among the values that clients send.

Such a value is a string of one of the FORMS and stays as it was sent. Comparisons use its `key`: the text
without Z and with six digits of fraction, so that keys sort in the order of time.
"""

import re

from broker.core import Json

_DATE = "[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_FRACTION = "(?:[.,][0-9]{1,6})?"

# Regular expressions without anchors, which Python, RE2 and PCRE interpret alike.
FORMS = {
    "dateTime": f"{_DATE}T{_CLOCK}{_FRACTION}Z",
    "date": _DATE,
    "time": f"{_CLOCK}{_FRACTION}Z",
}
_COMPILED = {kind: re.compile(form) for kind, form in FORMS.items()}


def plain(text: str) -> str:
    """The text of a date, time or date-time without its Z, with a point before the fraction."""
    return text.removesuffix("Z").replace(",", ".")


def key(kind: str, value: Json) -> str | None:
    """The key by which a value compares as a date, time or date-time (`kind`); None if it is none."""
    if not isinstance(value, str) or not _COMPILED[kind].fullmatch(value):
        return None
    return padded(plain(value))


def padded(plain_text: str) -> str:
    """The key of a text of `plain`."""
    base, _, fraction = plain_text.partition(".")
    return f"{base}.{fraction:0<6}"
