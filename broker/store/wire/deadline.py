"""How long a query may still take, where it takes several steps."""

from time import monotonic

from broker.core.errors import TooComplexQuery

LATE = "the query took longer than this broker allows; select fewer entities"


class Deadline:
    """A number of seconds from now; `late` is what a requester is told who needs more."""

    def __init__(self, seconds: float, late: str = LATE) -> None:
        self._end = monotonic() + seconds
        self._late = late

    def left_ms(self) -> int:
        """The milliseconds that are left; TooComplexQuery if none is."""
        left = round((self._end - monotonic()) * 1000)
        if left <= 0:
            raise TooComplexQuery(self._late)
        return left
