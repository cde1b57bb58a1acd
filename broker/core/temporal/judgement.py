"""Conditions on the instances in a window (clause 5.7.4.4).

An evolution is judged like an entity that has all the instances in the window at once: what a query asks for
may be met by any of them. So only this has to be known of the instances: which of the query's terms does any
of them meet.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from broker.core import Instance
from broker.core.lang.match import matches
from broker.core.lang.terms import And, Exists, Or, Q, Term

Truth = Callable[[Exists | Term], bool]


def terms(q: Q) -> Iterator[Exists | Term]:
    """Every term of a query, as it asks for something to be there."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from terms(part)
    else:
        yield _asserted(q)


def holds(q: Q, truth: Truth) -> bool:
    """Whether a query holds, by the truth of its terms."""
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
