"""Writes to one entity, as data: what is applied here, and what is sent to context sources (4.3.6)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from broker.core import Json
from broker.core.entity.kinds import SYSTEM, TYPE
from broker.core.jsonld.context import Context
from broker.core.lang.types import TypeSelection, any_of

_TYPED = (
    "createEntity",
    "replaceEntity",
    "createBatch",
    "upsertBatch",
)  # operations whose document names all types of the entity
_IDENTITY = TYPE | {"id", "@id"}  # members that each part of a document has
_PLAIN = frozenset(("scope", "expiresAt"))  # members that go where the whole entity goes
_OTHERS = (SYSTEM - {"instanceId"}) | {"@context"}  # members that no part has: only a broker sets them


@dataclass(frozen=True, slots=True)
class Write:
    """A write to one entity.

    `operation`: its name of 4.20; of an item of a batch, that of the batch. `ladder`: the operations by which
    a source can do it, the best one first; none: the operation itself. `context`: the @context of `doc` and
    `params`. `doc`: the JSON of the client; None if the operation has no body. `attr`: the attribute (IRI, or
    "scope") in the path; the whole document is about it then. `gate`: the types that the client asks for; an
    entity of other types is not found.
    """

    operation: str
    entity_id: str
    context: Context
    doc: Json = None
    params: Mapping[str, str] = field(default_factory=dict)
    attr: str | None = None
    gate: TypeSelection | None = None
    ladder: tuple[str, ...] = ()

    @property
    def types(self) -> TypeSelection | None:
        """The types that the entity has or gets, as far as the client says; None if it does not."""
        if self.gate is not None or self.operation not in _TYPED:
            return self.gate
        names = self.doc.get("type", self.doc.get("@type"))
        names = names if isinstance(names, list) else [names]
        return any_of(map(self.context.expand, names))

    @property
    def members(self) -> dict[str, str]:
        """The members that can be parted: name in the document to IRI, or to the same name for a plain one.

        For an operation on one attribute, that attribute.
        """
        if self.attr is not None:
            return {self.attr: self.attr}
        if not isinstance(self.doc, dict):
            return {}
        return {
            name: name if name in _PLAIN else self.context.expand(name)
            for name in self.doc
            if name not in _IDENTITY and name not in _OTHERS
        }

    def part(self, names: Collection[str]) -> Json:
        """The document with these of its `members` only; as it is for an operation on one attribute."""
        if self.attr is not None or not isinstance(self.doc, dict):
            return self.doc
        return {name: value for name, value in self.doc.items() if name in _IDENTITY or name in names}


def attributes(members: Mapping[str, str]) -> frozenset[str]:
    """The attributes (IRIs) among members of a document."""
    return frozenset(members.values()) - _PLAIN
