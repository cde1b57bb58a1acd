"""Instants (clauses 4.6.3, 4.8): ISO 8601 in UTC with up to six digits of fraction.

Inside the broker an instant is a text without the final Z. Such texts sort as the instants do, except for
trailing zeros: "…:00.5" and "…:00.50" are the same instant. `floor` and `ceiling` give the least and the
greatest text of one instant, so comparisons need no parsing. A fraction keeps the digits that a client sent.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_FORM = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,6}))?Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse(text: object) -> str | None:
    """The internal text of an instant in a client's notation; None if the value is no instant."""
    return _parse(text) if isinstance(text, str) else None


@lru_cache(2000)  # one device, or one request, repeats the same time often
def _parse(text: str) -> str | None:
    if not (m := _FORM.fullmatch(text)):
        return None
    try:
        datetime(*map(int, m.groups()[:6]))  # type: ignore[arg-type]
    except ValueError:
        return None
    return text[:-1].replace(",", ".")


def show(instant: str) -> str:
    """The instant as clients see it."""
    return instant + "Z"


def floor(instant: str) -> str:
    """The least text of this instant: its fraction without trailing zeros."""
    return instant.rstrip("0").rstrip(".") if "." in instant else instant


def ceiling(instant: str) -> str:
    """The greatest text of this instant: its fraction filled up to six digits."""
    base, _, fraction = instant.partition(".")
    return f"{base}.{fraction:0<6}"


@lru_cache(2000)
def micros(instant: str) -> int:
    """Microseconds since 1970."""
    return (datetime.fromisoformat(instant + "+00:00") - _EPOCH) // _MICROSECOND


def of_micros(micros: int) -> str:
    """The instant of microseconds since 1970, with six digits of fraction."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")[:-6]
