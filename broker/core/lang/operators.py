"""The operators of q (clause 4.9): one table, which the parser and all readers of queries share."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.core import instant

Reader = TypeVar("Reader")


@dataclass(frozen=True, slots=True)
class Ordering:
    """An operator that compares by order.

    `name`: its abbreviation; MongoDB's operator is `$` and that name. `compare`: whether two keys of one
    kind are so ordered. `edge`: of the texts of one instant, the one to compare with. `is_lower`: the literal
    is a lower bound.
    """

    name: str
    compare: Callable[[Any, Any], bool]
    edge: Callable[[str], str]
    is_lower: bool


ORDERING = {
    ">": Ordering("gt", operator.gt, instant.ceiling, is_lower=True),
    ">=": Ordering("gte", operator.ge, instant.floor, is_lower=True),
    "<": Ordering("lt", operator.lt, instant.floor, is_lower=False),
    "<=": Ordering("lte", operator.le, instant.ceiling, is_lower=False),
}
EQUAL, UNEQUAL = "==", "!="
PATTERN, NO_PATTERN = "~=", "!~="
ALL = (EQUAL, UNEQUAL, *ORDERING, PATTERN, NO_PATTERN)


def readers(
    *, equal: Reader, unequal: Reader, ordering: Reader, patterned: Reader, unpatterned: Reader
) -> dict[str, Reader]:
    """What reads a term, by its operator: `unequal` and `unpatterned` also ask for the target to be there."""
    return {
        EQUAL: equal,
        UNEQUAL: unequal,
        **dict.fromkeys(ORDERING, ordering),
        PATTERN: patterned,
        NO_PATTERN: unpatterned,
    }
