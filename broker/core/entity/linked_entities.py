"""4.5.23 Linked entities: what relationships lead to, shown inside them or beside what links there.

An entity is never shown inside itself, nor is one that the request says it has already (`containedBy`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.core import Entity, Instance, Json
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import View, attributes, view
from broker.core.errors import TooManyResults
from broker.core.jsonld.context import Context

_LINKS = {"Relationship": "entity", "ListRelationship": "entityList"}


@dataclass(frozen=True, slots=True)
class Join:
    """How linked entities are shown: inline or flat, up to how many links away, and at most how many."""

    kind: str
    level: int = 1
    contained_by: frozenset[str] = frozenset()
    most: int = 1000


def links(entity: Entity, shape: View) -> list[tuple[str, View]]:
    """The ids that the relationships shown of an entity lead to, and how what is there is to be shown."""
    return [
        (uri, _beyond(shape, iri))
        for iri, instances in attributes(entity, shape)
        for one in instances
        if one["type"] in _LINKS
        for uri in _uris(one)
    ]


def too_many(join: Join) -> TooManyResults:
    """What is raised when a join comes upon more than its bound."""
    return TooManyResults(
        f"join: more than {join.most} linked entities; ask for fewer levels or relationships"
    )


def _beyond(shape: View, iri: str) -> View:
    """How entities are to be shown to which this relationship links (4.21)."""
    if shape.pick is None and shape.omit is None:
        return shape
    return replace(shape, pick=shape.pick and shape.pick.of(iri), omit=shape.omit and shape.omit.of(iri))


def _uris(instance: Instance) -> list[str]:
    found = instance[KINDS[instance["type"]].value]
    return found if isinstance(found, list) else [found]


class Inlined:
    """Shows entities with `linked` ones inside (4.5.23.2). One for each answer: it counts what it shows."""

    def __init__(self, linked: Mapping[str, Entity], join: Join, context: Context) -> None:
        self._linked = linked
        self._join = join
        self._context = context
        self._count = 0

    def show(self, entity: Entity, shape: View) -> dict[str, Json]:
        """The entity as JSON. TooManyResults when it comes to more than the join may show."""
        return self._show(entity, shape, self._join.level, self._join.contained_by | {entity["id"]})

    def _show(self, entity: Entity, shape: View, level: int, above: frozenset[str]) -> dict[str, Json]:
        shown = view(entity, self._context, shape)
        if level:
            for iri, instances in attributes(entity, shape):
                if any(one["type"] in _LINKS for one in instances):
                    name, inner = self._context.compact(iri), _beyond(shape, iri)
                    docs = [self._beyond(one, inner, level - 1, above) for one in instances]
                    shown[name] = _joined(shown[name], instances, docs, shape.format)
        return shown

    def _beyond(self, instance: Instance, shape: View, level: int, above: frozenset[str]) -> dict[str, Json]:
        """What an instance links to, by id."""
        if instance["type"] not in _LINKS:
            return {}
        found = {}
        for uri in _uris(instance):
            if uri in self._linked and uri not in above:
                self._count += 1
                if self._count > self._join.most:
                    raise too_many(self._join)
                if doc := self._show(self._linked[uri], shape, level, above | {uri}):
                    found[uri] = doc
        return found


def _joined(shown: Json, instances: list[Instance], docs: list[dict[str, Json]], format: str) -> Json:
    """An attribute as it is shown, with what each of its instances links to."""
    if format != "simplified":
        many = shown if isinstance(shown, list) else [shown]
        for one, instance, inside in zip(many, instances, docs, strict=True):
            if inside:
                one[_LINKS[instance["type"]]] = _entities(instance, inside)
        return shown
    if len(instances) == 1 and "datasetId" not in instances[0]:
        return _replaced(instances[0], docs[0]) if docs[0] else shown
    pairs = zip(instances, docs, strict=True)
    values = {one.get("datasetId", "@none"): _replaced(one, inside) for one, inside in pairs if inside}
    return {"dataset": shown["dataset"] | values}


def _entities(instance: Instance, inside: dict[str, Json]) -> Json:
    return _one_or_all(instance, [inside[uri] for uri in _uris(instance) if uri in inside])


def _replaced(instance: Instance, inside: dict[str, Json]) -> Json:
    return _one_or_all(instance, [inside.get(uri, uri) for uri in _uris(instance)])


def _one_or_all(instance: Instance, found: list[Json]) -> Json:
    return found if isinstance(instance[KINDS[instance["type"]].value], list) else found[0]
