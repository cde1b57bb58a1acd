"""Throttling (clause 5.2.12): whether the last notification is too recent for another one."""

_AHEAD = 5_000_000  # µs that clocks of two processes may differ


def is_throttled(last: int | None, now: int, throttling: int) -> bool:
    """Whether it is too recent (times in µs). A `last` in the future is a wrong clock's: it is ignored."""
    return last is not None and -_AHEAD <= now - last < throttling
