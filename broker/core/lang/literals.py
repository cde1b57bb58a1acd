"""The values of query terms (clause 4.9): what one may look like, in the order in which they are tried.

Number      as in JSON                     dateTime, date, time   as in 4.6.3, unquoted
quotedStr   as in JSON                     false, true
URI         unquoted: text that begins with a letter and has none of the signs of the language
"""

import json
import math
import re
from collections.abc import Callable
from datetime import date

from broker.core import instant
from broker.core.lang import dates
from broker.core.lang.scanner import Scanner
from broker.core.lang.terms import TEMPORAL, Literal

_END = r"(?=[\s;|),]|\.\.|\Z)"
_DIGITS = 34  # as many as the store compares exactly


def _token(form: str) -> re.Pattern[str]:
    return re.compile(f"(?:{form}){_END}")


_FORMS = {
    **{kind: _token(form) for kind, form in dates.FORMS.items()},
    "number": _token(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"),
    "boolean": _token("true|false"),
    "text": _token(r'"(?:[^"\\]|\\.)*"'),
    "word": _token(r'[^\W\d_](?:(?!\.\.)[^\s;|(),"<>\[\]{}])*|%(?:(?!\.\.)[^\s;|(),"<>\[\]{}])+'),
}


def literal(scanner: Scanner, comparable: bool) -> Literal:
    """The next value; a `comparable` one has an order, so it is no boolean and no URI."""
    at = scanner.at
    for kind, form in _FORMS.items():
        if comparable and kind in ("boolean", "word"):
            continue
        if found := scanner.take(form):
            if (value := _READ[kind](found[0])) is None:
                scanner.fail(f"a {_NAMES.get(kind, kind)} that exists", at)
            return Literal("text" if kind == "word" else kind, value)
    expected = "a number, a quoted string or a date" if comparable else "a value"
    scanner.fail(f"{expected}, with text in double quotes" if scanner.takes("'") else expected, at)


def is_comparable(one: Literal, text: str) -> bool:
    """Whether a value, written as `text`, may be the bound of a range."""
    return one.kind in TEMPORAL or one.kind == "number" or text.startswith('"')


def as_instant(one: Literal) -> Literal:
    """A quoted date-time as what it is, for members that hold instants."""
    found = instant.parse(one.value) if one.kind == "text" else None
    return Literal("dateTime", found) if found else one


def as_moment(one: Literal) -> Literal:
    """A quoted date, time or date-time as what it is; any other literal as it is."""
    if one.kind != "text":
        return one
    text = str(one.value)
    kind = next((kind for kind in dates.FORMS if _FORMS[kind].fullmatch(text)), None)
    value = None if kind is None else _READ[kind](text)
    return one if kind is None or value is None else Literal(kind, value)


def _number(text: str) -> int | float | None:
    if text.lstrip("-").isdigit():
        return int(text) if len(text.lstrip("-")) <= _DIGITS else None
    return found if math.isfinite(found := float(text)) else None


def _text(text: str) -> str | None:
    try:
        found: str = json.loads(text)
        found.encode()  # half a surrogate pair is no text
    except ValueError:
        return None
    return found


def _date(text: str) -> str | None:
    try:
        date.fromisoformat(text)
    except ValueError:
        return None
    return text


_NAMES = {"text": "string with JSON's escapes", "number": f"number of at most {_DIGITS} digits"}
_READ: dict[str, Callable[[str], bool | float | str | None]] = {
    "dateTime": instant.parse,
    "date": _date,
    "time": dates.plain,
    "number": _number,
    "boolean": "true".__eq__,
    "text": _text,
    "word": str,
}
