"""Evaluates conditions on the instances in a window (clause 5.7.4.4).

An evolution is evaluated like an entity that has all instances in the window at once: any of them may meet a
term. So the evaluation of a query needs only the truth of each term: whether any instance meets it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from broker.core import Instance
from broker.core.lang.match import matches
from broker.core.lang.terms import And, Exists, Or, Q, Term

Truth = Callable[[Exists | Term], bool]  # whether any instance meets a term


def terms(q: Q) -> Iterator[Exists | Term]:
    """Yields every term of a query; `!p` is yielded as `p`."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from terms(part)
    else:
        yield _asserted(q)


def holds(q: Q, truth: Truth) -> bool:
    """Whether a query holds, given the truth of the terms that `terms` yields."""
    match q:
        case And(parts):
            return all(holds(part, truth) for part in parts)
        case Or(parts):
            return any(holds(part, truth) for part in parts)
        case Exists(_, absent):
            return truth(_asserted(q)) is not absent
    return truth(q)


def meets(term: Exists | Term, instance: Instance) -> bool:
    """Whether a term on an attribute holds for one instance of it."""
    attrs = {term.target.path[0]: [instance]}
    return matches(term, {"id": "", "type": [], "createdAt": "", "attrs": attrs})


def _asserted(q: Exists | Term) -> Exists | Term:
    return replace(q, absent=False) if isinstance(q, Exists) else q
