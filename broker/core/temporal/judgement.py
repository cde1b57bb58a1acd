"""Conditions on the instances in a window (clause 5.7.4.4).

An evolution is judged like an entity that has all the instances in the window at once: what a query asks for
may be met by any of them. So only this has to be known of the instances: which of the query's terms does any
of them meet. An instance is part of the answer if the query would also hold if it were the only one of its
attribute: what it asks of other attributes is met, and this instance meets the rest.
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
    return _rest(q, None, truth) is True


def remainder(q: Q, attribute: str, truth: Truth) -> Q | None:
    """What the query still asks of single instances of an attribute (IRI), if the rest is settled."""
    rest = _rest(q, attribute, truth)
    return None if isinstance(rest, bool) else rest


def meets(q: Q, attribute: str, instance: Instance) -> bool:
    """Whether what is asked of single instances of an attribute holds for one."""
    return matches(q, {"id": "", "type": [], "createdAt": "", "attrs": {attribute: [instance]}})


def _rest(q: Q, attribute: str | None, truth: Truth) -> Q | bool:
    if not isinstance(q, And | Or):
        if q.target.path[:1] == (attribute,):
            return q
        is_absence = isinstance(q, Exists) and q.absent
        return truth(_asserted(q)) is not is_absence
    decides = isinstance(q, Or)  # a part that is true decides an Or, and one that is false an And
    rests = [_rest(part, attribute, truth) for part in q.parts]
    if decides in [one for one in rests if isinstance(one, bool)]:
        return decides
    left = tuple(one for one in rests if not isinstance(one, bool))
    return (left[0] if len(left) == 1 else type(q)(left)) if left else not decides


def _asserted(q: Exists | Term) -> Exists | Term:
    return replace(q, absent=False) if isinstance(q, Exists) else q
