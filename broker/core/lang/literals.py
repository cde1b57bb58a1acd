"""The values of query terms (clause 4.9), in the order in which their forms are tried.

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
_DIGITS = 34  # MongoDB compares numbers of so many digits exactly


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
    """Reads the next value. `comparable`: only values with an order are allowed, no booleans and no URIs.

    BadRequestData if there is no such value.
    """
    at = scanner.at
    for kind, form in _FORMS.items():
        if comparable and kind in ("boolean", "word"):
            continue
        if match := scanner.take(form):
            if (value := _READ[kind](match[0])) is None:
                scanner.fail(f"a {_NAMES.get(kind, kind)} that exists", at)
            return Literal("text" if kind == "word" else kind, value)
    expected = "a number, a quoted string or a date" if comparable else "a value"
    scanner.fail(f"{expected}, with text in double quotes" if scanner.takes("'") else expected, at)


def is_comparable(literal: Literal, text: str) -> bool:
    """Whether a value, written as `text`, may be a bound of a range."""
    return literal.kind in TEMPORAL or literal.kind == "number" or text.startswith('"')


def as_instant(literal: Literal) -> Literal:
    """A quoted date-time as a dateTime literal, for members that hold instants; others unchanged."""
    parsed = instant.parse(literal.value) if literal.kind == "text" else None
    return Literal("dateTime", parsed) if parsed else literal


def as_moment(literal: Literal) -> Literal:
    """A quoted date, time or date-time as a literal of that kind; others unchanged."""
    if literal.kind != "text":
        return literal
    text = str(literal.value)
    kind = next((kind for kind in dates.FORMS if _FORMS[kind].fullmatch(text)), None)
    value = None if kind is None else _READ[kind](text)
    return literal if kind is None or value is None else Literal(kind, value)


def _number(text: str) -> int | float | None:
    if text.lstrip("-").isdigit():
        return int(text) if len(text.lstrip("-")) <= _DIGITS else None
    return value if math.isfinite(value := float(text)) else None


def _text(text: str) -> str | None:
    try:
        parsed: str = json.loads(text)
        parsed.encode()  # a lone surrogate is not text
    except ValueError:
        return None
    return parsed


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
