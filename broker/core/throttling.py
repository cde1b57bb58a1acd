"""Throttling (clause 5.2.12): whether the last notification is too recent for another one."""

_AHEAD = 5_000_000  # µs; the times of two processes may differ by a little


def is_throttled(last: int | None, now: int, throttling: int) -> bool:
    """Whether it is; times in µs. A last time in the future comes of a wrong clock, and counts as never."""
    return last is not None and -_AHEAD <= now - last < throttling
