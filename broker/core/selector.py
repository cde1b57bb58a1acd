"""EntitySelector (clause 5.2.33): selects entities for a query or a subscription."""

from collections.abc import Callable
from dataclasses import dataclass, field

from broker.core import Entity
from broker.core.lang import pattern
from broker.core.lang import types as type_language
from broker.core.lang.pattern import Pattern
from broker.core.lang.types import TypeSelection
from broker.core.members import Member, Uri


class EntitySelector(Member):
    """A selector as clients send it: a type selection, and ids or a pattern of ids."""

    type: str
    id: Uri | list[Uri] | None = None
    id_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """A compiled selector: an entity must match the types, and the ids if there are any, else the pattern."""

    types: TypeSelection
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    _pattern: Pattern | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = None if self.id_pattern is None else pattern.compile(self.id_pattern)
        object.__setattr__(self, "_pattern", compiled)

    def selects(self, entity: Entity) -> bool:
        """Whether the entity matches."""
        if self.ids:
            if entity["id"] not in self.ids:
                return False
        elif self._pattern is not None and not self._pattern.search(entity["id"]):
            return False
        return type_language.matches(self.types, entity["type"])


def selector(entity_selector: EntitySelector, expand: Callable[[str], str]) -> Selector:
    """The compiled selector; an id takes precedence over a pattern.

    BadRequestData or TooComplexQuery if the types or the pattern are not valid.
    """
    ids = (entity_selector.id,) if isinstance(entity_selector.id, str) else tuple(entity_selector.id or ())
    types = type_language.parse(entity_selector.type, expand)
    if entity_selector.id_pattern is not None:
        pattern.compile(entity_selector.id_pattern)
    return Selector(types, ids, None if ids else entity_selector.id_pattern)
