"""For how long scopes are valid (clauses 4.18, 5.7.4.4, C.5.16): from when they are set until they change.

Scopes that an entity came with, without a time of their own, are valid before it came, too: what was observed
earlier and arrives later (imports, late data) is of an entity in these scopes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core import Instance, instant
from broker.core.lang.scope import ScopeQuery, matches

Span = tuple[int | None, int | None]  # from a time (µs) to before another one; None for no bound
Change = tuple[int, Instance]  # when scopes were set (µs), and the instance that records it, with createdAt


@dataclass(frozen=True, slots=True)
class Validity:
    """Scopes, the time at which they were set (µs), and the span of time in which they count."""

    scopes: Instance
    since: int
    span: Span


def valid(changes: Sequence[Change], query: ScopeQuery, window: Span, came: str | None) -> list[Validity]:
    """When, within a window, an entity had scopes that match, by the changes of its scopes in their order.

    `came`: when the entity was created, if that is known.
    """
    return [
        one
        for one in _validities(changes, came)
        if _is_within(one.span, window) and matches(query, one.scopes["value"])
    ]


def _validities(changes: Sequence[Change], came: str | None) -> list[Validity]:
    ends = [*(time for time, _ in changes[1:]), None]
    found = [Validity(one, time, (time, end)) for (time, one), end in zip(changes, ends, strict=False)]
    if changes and _came_along(*changes[0], came):
        time, scopes = changes[0]
        found[0] = Validity(scopes, time, (None, ends[0]))
    return found


def _came_along(time: int, scopes: Instance, came: str | None) -> bool:
    """Whether scopes were set when they were written, and that was no later than the entity came.

    It may have been earlier: the entity was created again, or only its history was there before.
    """
    written = scopes.get("createdAt")
    if written is None or came is None:
        return False
    return instant.micros(written) == time <= instant.micros(came)


def _is_within(span: Span, window: Span) -> bool:
    (start, end), (low, high) = span, window
    reaches = low is None or end is None or end > low
    return reaches and (start is None or ((high is None or start < high) and start != end))
