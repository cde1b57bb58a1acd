"""The deadline of a query that takes several steps."""

from time import monotonic

from broker.core.errors import TooComplexQuery

LATE = "the query took longer than this broker allows; select fewer entities"


class Deadline:
    """A deadline `seconds` from now; `late` is the message of the error after it."""

    def __init__(self, seconds: float, late: str = LATE) -> None:
        self._end = monotonic() + seconds
        self._late = late

    def left_ms(self) -> int:
        """The milliseconds until the deadline; TooComplexQuery if it has passed."""
        left = round((self._end - monotonic()) * 1000)
        if left <= 0:
            raise TooComplexQuery(self._late)
        return left
