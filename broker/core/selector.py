"""EntitySelector (clause 5.2.33): which entities are queried or subscribed to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from broker.core import Entity
from broker.core.lang import pattern
from broker.core.lang import types as type_language
from broker.core.lang.pattern import Pattern
from broker.core.lang.types import TypeSelection
from broker.core.members import Member, Uri


class EntitySelector(Member):
    """Entities by type selection, and by id or a pattern of ids, as clients send it."""

    type: str
    id: Uri | list[Uri] | None = None
    id_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector, compiled: an entity matches by type, and by id if any, else by pattern if any."""

    types: TypeSelection
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    _pattern: Pattern | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = None if self.id_pattern is None else pattern.compile(self.id_pattern)
        object.__setattr__(self, "_pattern", found)

    def selects(self, entity: Entity) -> bool:
        """Whether the entity is one of those selected."""
        if self.ids:
            if entity["id"] not in self.ids:
                return False
        elif self._pattern is not None and not self._pattern.search(entity["id"]):
            return False
        return type_language.matches(self.types, entity["type"])


def selector(one: EntitySelector, expand: Callable[[str], str]) -> Selector:
    """The compiled form; an id beats a pattern. BadRequestData if the types or the pattern are none."""
    ids = (one.id,) if isinstance(one.id, str) else tuple(one.id or ())
    types = type_language.parse(one.type, expand)
    if one.id_pattern is not None:
        pattern.compile(one.id_pattern)
    return Selector(types, ids, None if ids else one.id_pattern)
