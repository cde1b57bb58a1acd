"""Counts and times of requests, for /metrics."""

import os
from typing import Any

from prometheus_client import Counter, Histogram, values

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    # The library would call getpid() at every count; a worker never forks.
    _PID = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: _PID)  # type: ignore[no-untyped-call]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUESTS = Counter("eridanus_requests_total", "Requests answered", ("method", "resource", "status"))
_SECONDS = Histogram(
    "eridanus_request_seconds",
    "Time from the request's head to its answer",
    ("method", "resource"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


class Meter:
    """Counts requests and their times, by method, resource and status.

    It caches counters, as look-ups cost.
    """

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str, int], Any] = {}
        self._timers: dict[tuple[str, str], Any] = {}

    def note(self, method: str, resource: str, status: int, seconds: float) -> None:
        """Counts one request. `resource`: a path template, so that metrics have few labels."""
        if method not in _METHODS:
            method = "other"
        counter = self._counters.get((method, resource, status))
        if counter is None:
            counter = self._counters[method, resource, status] = _REQUESTS.labels(
                method, resource, str(status)
            )
            self._timers[method, resource] = _SECONDS.labels(method, resource)
        counter.inc()
        self._timers[method, resource].observe(seconds)
