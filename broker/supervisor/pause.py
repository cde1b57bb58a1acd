"""How long to wait before something that died is started again."""

_FIRST = 0.1
_LONGEST = 5.0
_STEADY = 10.0  # seconds of life after which a death is not part of a series


def next_pause(last: float, lived: float) -> float:
    """Seconds to wait, given the pause before and how long the last one lived: doubles in a series."""
    if not last or lived >= _STEADY:
        return _FIRST
    return min(last * 2, _LONGEST)
