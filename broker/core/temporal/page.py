"""Temporal pagination (clause 6.3.10): cuts an answer that is too large, and gives its range of time.

The answer is complete for its range. The range of all attributes of all entities ends at the same time: where
the first attribute with too many instances is cut. So a client that continues from there misses nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

from broker.core import Instance, instant
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.window import Window, time_of


@dataclass(frozen=True, slots=True)
class Part:
    """The range of time that an answer covers, for Content-Range. `start` and `end`: instants with Z.

    Backwards, `start` is the later one, and `size` is lastN. Forwards, `size` is "*".
    """

    start: str
    end: str
    size: str


def times(instances: Iterable[Instance], window: Window | None) -> int:
    """The number of distinct times of instances, which must be in the order of time."""
    return sum(1 for _ in groupby(instances, lambda instance: _key(instance, window)))


def latest(instances: Iterable[Instance], last_n: int, window: Window | None) -> list[Instance]:
    """The instances of the last n times (5.7.4.4). `instances` must be in order, the newest first.

    Instances of the same time are ordered by datasetId, independent of when they were written.
    """
    groups = islice(groupby(instances, lambda instance: _key(instance, window)), last_n)
    return [instance for _, simultaneous in groups for instance in sorted(simultaneous, key=_dataset)]


def _dataset(instance: Instance) -> str:
    return str(instance.get("datasetId", ""))


def fit(instances: list[Instance], most: int, query: TemporalQuery) -> tuple[list[Instance], bool]:
    """(the first instances, at most `most`; whether any were cut off).

    Backwards, the cut does not separate instances of the same time, unless all are of one time: the client
    continues with `before` the last time, and would miss the rest. Forwards it gets them again with `after`.
    """
    if len(instances) <= most:
        return instances, False
    kept = instances[:most]
    if query.is_backwards:
        edge = _key(instances[most], query.window)
        kept = [instance for instance in kept if _key(instance, query.window) != edge] or kept
    return kept, True


def paged(evolutions: Sequence[Evolution], query: TemporalQuery) -> tuple[list[Evolution], Part | None]:
    """(evolutions cut to the range that all of them cover, that range; None if nothing was cut off)."""
    window, back = query.window, query.is_backwards
    ends = [_key(evolution.attrs[iri][-1], window) for evolution in evolutions for iri in evolution.truncated]
    if not ends:
        return list(evolutions), None
    edge = max(ends) if back else min(ends)
    cut = [_cut(evolution, edge, query) for evolution in evolutions]
    times = [_key(instance, window) for evolution in cut for instance in _instances(evolution)]
    start = _start(query) or (max(times) if back else min(times))
    return cut, Part(instant.show(start), instant.show(edge), str(query.last_n) if back else "*")


def _start(query: TemporalQuery) -> str | None:
    """The start of the range as the query gives it; None if it depends on the instances."""
    window = query.window
    if window is None or window.timerel is None:
        return None
    backwards = {"before": window.time_at, "between": window.end_time_at}
    forwards = {"after": window.time_at, "between": window.time_at}
    return (backwards if query.is_backwards else forwards).get(window.timerel)


def _cut(evolution: Evolution, edge: str, query: TemporalQuery) -> Evolution:
    attrs, emptied = {}, {}
    for iri, instances in evolution.attrs.items():
        attrs[iri] = [
            instance for instance in instances if _is_covered(_key(instance, query.window), edge, query)
        ]
        if not attrs[iri]:
            emptied[iri] = instances[0]["type"]
    return replace(evolution, attrs=attrs, emptied=emptied)


def _is_covered(time: str, edge: str, query: TemporalQuery) -> bool:
    return time >= edge if query.is_backwards else time <= edge


def _instances(evolution: Evolution) -> Iterable[Instance]:
    for instances in evolution.attrs.values():
        yield from instances


def _key(instance: Instance, window: Window | None) -> str:
    """The time of an instance, in the form in which equal times are equal texts."""
    return instant.floor(time_of(instance, window))
