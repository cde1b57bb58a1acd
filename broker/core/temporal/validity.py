"""The validity of scopes (clauses 4.18, 5.7.4.4, C.5.16): from the time they are set until they change.

Scopes that an entity had when it was created, without a time of their own, are valid before that, too. So
data that was observed earlier and arrives later (imports, late data) is found in these scopes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core import Instance, instant
from broker.core.lang.scope import ScopeQuery, matches

Span = tuple[int | None, int | None]  # (start, end) in µs, end excluded; None: unbounded
Change = tuple[int, Instance]  # (time in µs when scopes were set, the instance that records them)


@dataclass(frozen=True, slots=True)
class Validity:
    """Scopes (an instance), the time at which they were set (µs), and the span in which they are valid."""

    scopes: Instance
    since: int
    span: Span


def valid(changes: Sequence[Change], query: ScopeQuery, window: Span, came: str | None) -> list[Validity]:
    """The validities of scopes that match the query and overlap the window.

    `changes`: all changes of the scopes of an entity, in order. `came`: createdAt of the entity, if known.
    """
    return [
        validity
        for validity in _validities(changes, came)
        if _is_within(validity.span, window) and matches(query, validity.scopes["value"])
    ]


def _validities(changes: Sequence[Change], came: str | None) -> list[Validity]:
    ends = [*(time for time, _ in changes[1:]), None]
    validities = [
        Validity(scopes, time, (time, end)) for (time, scopes), end in zip(changes, ends, strict=False)
    ]
    if changes and _came_along(*changes[0], came):
        time, scopes = changes[0]
        validities[0] = Validity(scopes, time, (None, ends[0]))
    return validities


def _came_along(time: int, scopes: Instance, came: str | None) -> bool:
    """Whether the scopes were written with the creation of the entity, without a time of their own.

    They may be older than `came`: the entity was created again, or had only a history before.
    """
    written = scopes.get("createdAt")
    if written is None or came is None:
        return False
    return instant.micros(written) == time <= instant.micros(came)


def _is_within(span: Span, window: Span) -> bool:
    (start, end), (low, high) = span, window
    ends_after_low = low is None or end is None or end > low
    return ends_after_low and (start is None or ((high is None or start < high) and start != end))
