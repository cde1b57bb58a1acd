"""The pause before a dead process is started again."""

_FIRST = 0.1  # seconds
_LONGEST = 5.0  # seconds
_STEADY = 10.0  # seconds; a process that lived longer ends a series of deaths


def next_pause(last: float, lived: float) -> float:
    """Seconds to wait.

    It doubles in a series of deaths. `last`: the previous pause; `lived`: the last lifetime.
    """
    if not last or lived >= _STEADY:
        return _FIRST
    return min(last * 2, _LONGEST)
