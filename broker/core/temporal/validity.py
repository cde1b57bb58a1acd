"""For how long scopes are valid (clauses 4.18, 5.7.4.4, C.5.16): from when they are set until they change."""

from collections.abc import Sequence

from broker.core.lang.scope import ScopeQuery, matches

Span = tuple[int, int | None]  # from a time (µs) to before another one, if there is one


def valid(
    changes: Sequence[tuple[int, list[str]]], query: ScopeQuery, window: tuple[int | None, int | None]
) -> list[Span]:
    """When, within a window, an entity had scopes that match, by the changes of its scopes in their order."""
    low, high = window
    ends = [*(time for time, _ in changes[1:]), None]
    return [
        (start, end)
        for (start, scopes), end in zip(changes, ends, strict=False)
        if (low is None or end is None or end > low)
        and (high is None or start < high)
        and start != end
        and matches(query, scopes)
    ]
