"""The JSON of entities and fragments in the names of another @context: as it came, but for its names.

It is for documents that go to context sources. They are not parsed and shown again, since that would need to
know what is stored there: a fragment may leave out types and values, and a merge takes them from the entity.
"""

from dataclasses import dataclass

from broker.core import Json
from broker.core.entity import geometry, parse
from broker.core.entity.kinds import OF_INSTANCES, TYPE
from broker.core.entity.values import is_literal, is_null
from broker.core.jsonld.context import Context
from broker.core.uri import NULL, is_name

_OF_NAMES = frozenset({"vocab", "objectType", "valueType", "entityTypeSealed"})
_OF_INSTANCES = OF_INSTANCES | TYPE | {"@context"}
_NO_NAMES = parse.ENTITY_MEMBERS | parse.NOT_NAMES | OF_INSTANCES


def attribute_name(iri: str, context: Context) -> str:
    """The name of an attribute; its IRI if the name would stand for a member of an entity or an instance."""
    name = context.compact(iri)
    return name if is_name(name) and name not in _NO_NAMES else iri


@dataclass(frozen=True, slots=True)
class Renaming:
    """From the names of one @context to those of another.

    `is_merge`: an object whose members are all attributes is a fragment with sub-attributes (5.5.12), not a
    value.
    """

    old: Context
    new: Context
    is_merge: bool = False

    def entity(self, doc: dict[str, Json]) -> dict[str, Json]:
        """An entity, or a fragment of one."""
        return {
            name if name in parse.ENTITY_MEMBERS else self._attribute_name(name): self._member(name, raw)
            for name, raw in doc.items()
        }

    def attribute(self, raw: Json) -> Json:
        """An attribute: one instance, an array of them, or a bare value."""
        if isinstance(raw, list):
            return [self.attribute(item) for item in raw] if _are_instances(raw) else raw
        return self.instance(raw) if isinstance(raw, dict) and self._is_instance(raw) else raw

    def instance(self, raw: dict[str, Json]) -> dict[str, Json]:
        """An instance of an attribute, or a fragment of one."""
        shown: dict[str, Json] = {}
        for name, member in raw.items():
            if name in _OF_NAMES:
                shown[name] = self._names(member)
            elif name in _OF_INSTANCES:
                shown[name] = member
            else:
                shown[self._attribute_name(name)] = self.attribute(member)
        return shown

    def _member(self, name: str, raw: Json) -> Json:
        if name in TYPE:
            return self._names(raw)
        return raw if name in parse.ENTITY_MEMBERS else self.attribute(raw)

    def _is_instance(self, raw: dict[str, Json]) -> bool:
        """As `parse` and `sent` decide, whether an object is an instance, or a value by itself."""
        if geometry.is_geometry(raw) or is_literal(raw) or is_null(raw):
            return False
        if parse.is_instance(raw) or (self.is_merge and not OF_INSTANCES.isdisjoint(raw)):
            return True
        inside = [member for member in raw.values() if not is_null(member)]
        return self.is_merge and bool(inside) and all(map(_is_attribute, inside))

    def _attribute_name(self, name: str) -> str:
        return attribute_name(self.old.expand(name), self.new)

    def _names(self, raw: Json) -> Json:
        if isinstance(raw, list):
            return [*map(self._names, raw)]
        return raw if raw == NULL or not isinstance(raw, str) else self.new.compact(self.old.expand(raw))


def _are_instances(raw: list[Json]) -> bool:
    return bool(raw) and all(isinstance(item, dict) and parse.is_instance(item) for item in raw)


def _is_attribute(raw: Json) -> bool:
    if isinstance(raw, list):
        return bool(raw) and all(map(_is_attribute, raw))
    return isinstance(raw, dict) and not is_literal(raw) and parse.kind_of(raw) is not None
