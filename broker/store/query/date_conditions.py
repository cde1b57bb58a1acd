"""Conditions that compare dates, times and date-times in values of clients, without parsing in MongoDB.

Such a value is a text with a fixed part, an optional fraction, and a Z: `2026-07-01T12:00:00.5Z`. The order
of fixed parts as text is their order in time. If the fixed parts are equal, the fractions decide: a regular
expression lists the fractions that are less or greater.
"""

from collections.abc import Callable
from typing import Any

from broker.core.lang.dates import FORMS
from broker.core.lang.terms import Literal


def same(wanted: Literal) -> str:
    """A regular expression for all texts of the same time."""
    base, fraction = _split(wanted)
    return _within_second(wanted, base, _same(fraction))


def ordered(sign: str, wanted: Literal) -> list[dict[str, Any]]:
    """Conditions of which a text meets one if it is a time with the relation `sign` (`<` …) to `wanted`."""
    base, fraction = _split(wanted)
    form = f"^(?:{FORMS[wanted.kind]})\\z"
    order = {"$gt": base + "Z"} if sign[0] == ">" else {"$lt": base}
    elsewhere = {**order, "$regex": form}
    fractions = _FRACTIONS[sign](fraction) if wanted.kind != "date" or "=" in sign else []
    if not fractions:
        return [elsewhere]
    return [elsewhere, {"$regex": _within_second(wanted, base, "|".join(fractions))}]


def _split(wanted: Literal) -> tuple[str, str]:
    """(fixed part, digits of the fraction without trailing zeros)."""
    base, _, fraction = str(wanted.value).partition(".")
    return base, fraction.rstrip("0")


def _within_second(wanted: Literal, base: str, fractions: str) -> str:
    if wanted.kind == "date":
        return f"^{base}\\z"
    return f"^{base}(?=(?:[.,][0-9]{{1,6}})?Z\\z)(?:{fractions})Z\\z"  # more than six digits are no fraction


def _same(fraction: str) -> str:
    return f"[.,]{fraction}0*" if fraction else "(?:[.,]0+)?"


def _later(fraction: str) -> list[str]:
    higher = [f"{fraction[:i]}[{int(d) + 1}-9][0-9]*" for i, d in enumerate(fraction) if d < "9"]
    return [f"[.,](?:{'|'.join([*higher, f'{fraction}0*[1-9][0-9]*'])})"]


def _earlier(fraction: str) -> list[str]:
    if not fraction:
        return []
    shorter = [fraction[:i] for i in range(1, len(fraction))]
    lower = [f"{fraction[:i]}[0-{int(d) - 1}][0-9]*" for i, d in enumerate(fraction) if d > "0"]
    return [f"(?:[.,](?:{'|'.join(shorter + lower)}))?"]


_FRACTIONS: dict[str, Callable[[str], list[str]]] = {
    ">": _later,
    ">=": lambda fraction: [*_later(fraction), _same(fraction)],
    "<": _earlier,
    "<=": lambda fraction: [*_earlier(fraction), _same(fraction)],
}
