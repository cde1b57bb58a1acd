"""4.11 The NGSI-LD Temporal Query Language.

timerel      = "before"     ; time < timeAt
             / "after"      ; time >= timeAt
             / "between"    ; timeAt <= time < endTimeAt
timeproperty = "observedAt" / "createdAt" / "modifiedAt" / "deletedAt"

An instance without the property is in no window. A timeproperty without a timerel selects the instances that
have the property.
"""

from dataclasses import dataclass

from broker.core import Instance, instant
from broker.core.errors import BadRequestData

TIMERELS = ("before", "after", "between")
BY_WRITE = ("createdAt", "modifiedAt")  # times of the write: every instance has them, except deletions
TIMEPROPERTIES = ("observedAt", "createdAt", "modifiedAt", "deletedAt")
_LONGEST_NUMBER = 9  # digits


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time, and the time property of an instance that must be in it.

    `time_at` and `end_time_at` are instants as text. Without a `timerel` the span is unbounded.
    """

    timerel: str | None = None
    time_at: str | None = None
    end_time_at: str | None = None
    timeproperty: str = "observedAt"

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """(start, end) of the span in µs since 1970; the end is excluded; None: unbounded."""
        start = None if self.timerel in (None, "before") else self.time_at
        end = {"before": self.time_at, "between": self.end_time_at}.get(self.timerel or "")
        return _micros(start), _micros(end)

    @property
    def is_empty(self) -> bool:
        """Whether the span is empty: its end is not after its start, which is no error (4.11)."""
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
    """The window that the parameters define; None without any of them.

    BadRequestData, which names the parameter, if one is wrong, or if there is none and a window is `required`
    (5.7.4.4).
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
    """The number in the parameter lastN. BadRequestData if it is not a positive integer."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER or int(text) == 0:
        raise BadRequestData(f"lastN: expected a positive integer of at most {_LONGEST_NUMBER} digits")
    return int(text)


def time_of(instance: Instance, window: Window | None) -> str:
    """The time of an instance in an answer: the time property of the window if the instance has it, else
    observedAt, deletedAt or modifiedAt.
    """
    if window is not None and window.timeproperty in instance:
        return str(instance[window.timeproperty])
    return str(next(instance[name] for name in ("observedAt", "deletedAt", "modifiedAt") if name in instance))


def _instant(name: str, text: str | None) -> str:
    if (parsed := instant.parse(text)) is None:
        raise BadRequestData(f"{name}: expected a DateTime in UTC such as 2026-10-01T12:00:00Z")
    return parsed


def _micros(text: str | None) -> int | None:
    return None if text is None else instant.micros(text)
