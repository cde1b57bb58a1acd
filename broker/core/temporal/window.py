"""4.11 The NGSI-LD Temporal Query Language.

timerel      = "before"     ; than timeAt
             / "after"      ; timeAt or at it
             / "between"    ; timeAt and endTimeAt: at the first of them, too, but not at the last
timeproperty = "observedAt" / "createdAt" / "modifiedAt" / "deletedAt"

An instance that does not have the property is in no window. A timeproperty alone asks for just that.
"""

from dataclasses import dataclass

from broker.core import Instance, instant
from broker.core.errors import BadRequestData

TIMERELS = ("before", "after", "between")
BY_WRITE = ("createdAt", "modifiedAt")  # the time of the write, which every instance but a deletion has
TIMEPROPERTIES = ("observedAt", "createdAt", "modifiedAt", "deletedAt")
_LONGEST_NUMBER = 9  # digits


@dataclass(frozen=True, slots=True)
class Window:
    """A temporal query: the span of time, and the property of an instance that has to be in it.

    `time_at` and `end_time_at` are instants as text; without a `timerel` the span is all of time.
    """

    timerel: str | None = None
    time_at: str | None = None
    end_time_at: str | None = None
    timeproperty: str = "observedAt"

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The first microsecond of the span, and the first one after it; None for no bound."""
        start = None if self.timerel in (None, "before") else self.time_at
        end = {"before": self.time_at, "between": self.end_time_at}.get(self.timerel or "")
        return _micros(start), _micros(end)

    @property
    def is_empty(self) -> bool:
        """Whether no time is in the span, which is no error (4.11): it ends where it begins, or before."""
        start, end = self.bounds
        return start is not None and end is not None and end <= start


def parse(
    timerel: str | None,
    time_at: str | None,
    end_time_at: str | None,
    timeproperty: str | None,
    *,
    required: bool = False,
) -> Window | None:
    """The window that parameters ask for; None without any of them, unless it is `required` (5.7.4.4).

    Raises BadRequestData, which names the parameter.
    """
    if timeproperty is not None and timeproperty not in TIMEPROPERTIES:
        raise BadRequestData(f"timeproperty: expected one of {', '.join(TIMEPROPERTIES)}")
    if timerel is None:
        if required or time_at is not None or end_time_at is not None:
            raise BadRequestData(f"timerel: expected, with one of {', '.join(TIMERELS)}")
        return None if timeproperty is None else Window(timeproperty=timeproperty)
    if timerel not in TIMERELS:
        raise BadRequestData(f"timerel: expected one of {', '.join(TIMERELS)}")
    start = _instant("timeAt", time_at)
    end = _instant("endTimeAt", end_time_at) if timerel == "between" or end_time_at is not None else None
    return Window(timerel, start, end if timerel == "between" else None, timeproperty or "observedAt")


def parse_last_n(text: str | None) -> int | None:
    """The parameter lastN. BadRequestData if it is not a positive integer."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER or int(text) == 0:
        raise BadRequestData(f"lastN: expected a positive integer of at most {_LONGEST_NUMBER} digits")
    return int(text)


def time_of(instance: Instance, window: Window | None) -> str:
    """The time that stands for an instance in an answer: the property asked for, else the one that it has.

    An instance is observed, or deleted, or at least it was written at some time.
    """
    if window is not None and window.timeproperty in instance:
        return str(instance[window.timeproperty])
    return str(next(instance[name] for name in ("observedAt", "deletedAt", "modifiedAt") if name in instance))


def _instant(name: str, text: str | None) -> str:
    if (found := instant.parse(text)) is None:
        raise BadRequestData(f"{name}: expected a DateTime in UTC such as 2026-10-01T12:00:00Z")
    return found


def _micros(text: str | None) -> int | None:
    return None if text is None else instant.micros(text)
