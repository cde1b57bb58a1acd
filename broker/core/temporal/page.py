"""Temporal pagination (clause 6.3.10): how an answer that would be too large is cut, and what it says then.

The part that is answered is whole: for all attributes of all its entities it ends at the time at which the
first of those ends that had too many instances, so a client that goes on from there misses nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

from broker.core import Instance, instant
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.window import Window, time_of


@dataclass(frozen=True, slots=True)
class Part:
    """The range of time that an answer covers, as Content-Range tells it. Instants as clients see them."""

    start: str
    end: str
    size: str


def times(instances: Iterable[Instance], window: Window | None) -> int:
    """How many times instances are of, which are in order."""
    return sum(1 for _ in groupby(instances, lambda one: _key(one, window)))


def latest(instances: Iterable[Instance], last_n: int, window: Window | None) -> list[Instance]:
    """The instances of the last n times (5.7.4.4), of instances whose newest come first.

    Those of one time are in the order of their datasetIds, whichever was written first.
    """
    groups = islice(groupby(instances, lambda one: _key(one, window)), last_n)
    return [one for _, many in groups for one in sorted(many, key=_dataset)]


def _dataset(instance: Instance) -> str:
    return str(instance.get("datasetId", ""))


def fit(instances: list[Instance], most: int, query: TemporalQuery) -> tuple[list[Instance], bool]:
    """The first `most` instances, and whether that left any out.

    Backwards, instances of one time are not parted if there is a way: who goes on with what was `before`
    the last time of the answer would miss the rest of them. (`after` that time, they would get all again.)
    """
    if len(instances) <= most:
        return instances, False
    kept = instances[:most]
    if query.is_backwards:
        edge = _key(instances[most], query.window)
        kept = [one for one in kept if _key(one, query.window) != edge] or kept
    return kept, True


def paged(evolutions: Sequence[Evolution], query: TemporalQuery) -> tuple[list[Evolution], Part | None]:
    """The evolutions cut to the time that all of them cover, and that time; None if nothing was left out."""
    window, back = query.window, query.is_backwards
    ends = [_key(one.attrs[iri][-1], window) for one in evolutions for iri in one.truncated]
    if not ends:
        return list(evolutions), None
    edge = max(ends) if back else min(ends)
    cut = [_cut(one, edge, query) for one in evolutions]
    times = [_key(one, window) for evolution in cut for one in _instances(evolution)]
    start = _start(query) or (max(times) if back else min(times))
    return cut, Part(instant.show(start), instant.show(edge), str(query.last_n) if back else "*")


def _start(query: TemporalQuery) -> str | None:
    """Where the range begins by the query's own words; None if that takes a look at the instances."""
    window = query.window
    if window is None or window.timerel is None:
        return None
    backwards = {"before": window.time_at, "between": window.end_time_at}
    forwards = {"after": window.time_at, "between": window.time_at}
    return (backwards if query.is_backwards else forwards).get(window.timerel)


def _cut(evolution: Evolution, edge: str, query: TemporalQuery) -> Evolution:
    attrs, emptied = {}, {}
    for iri, instances in evolution.attrs.items():
        attrs[iri] = [one for one in instances if _is_covered(_key(one, query.window), edge, query)]
        if not attrs[iri]:
            emptied[iri] = instances[0]["type"]
    return replace(evolution, attrs=attrs, emptied=emptied)


def _is_covered(time: str, edge: str, query: TemporalQuery) -> bool:
    return time >= edge if query.is_backwards else time <= edge


def _instances(evolution: Evolution) -> Iterable[Instance]:
    for instances in evolution.attrs.values():
        yield from instances


def _key(instance: Instance, window: Window | None) -> str:
    """The time of an instance in the one form that compares as text."""
    return instant.floor(time_of(instance, window))
