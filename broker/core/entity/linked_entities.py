"""4.5.23 Linked entities: the targets of relationships, shown inside them or beside the linking entity.

An entity is never shown inside itself; nor are entities that the client has already (`containedBy`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.core import Entity, Instance, Json
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import View, attributes
from broker.core.entity.view import view as entity_json
from broker.core.errors import TooManyResults
from broker.core.jsonld.context import Context

_LINKS = {"Relationship": "entity", "ListRelationship": "entityList"}


@dataclass(frozen=True, slots=True)
class Join:
    """How linked entities are shown. `kind`: inline or flat. `level`: the number of links that are followed.

    `contained_by`: ids of entities that are not shown. `most`: the limit of linked entities in one answer.
    """

    kind: str
    level: int = 1
    contained_by: frozenset[str] = frozenset()
    most: int = 1000


def links(entity: Entity, view: View) -> list[tuple[str, View]]:
    """Pairs (id, view) of the entities to which the shown relationships of an entity link."""
    return [
        (uri, _beyond(view, iri))
        for iri, instances in attributes(entity, view)
        for instance in instances
        if instance["type"] in _LINKS
        for uri in _uris(instance)
    ]


def too_many(join: Join) -> TooManyResults:
    """The error for a join with more linked entities than its limit."""
    return TooManyResults(
        f"join: more than {join.most} linked entities; ask for fewer levels or relationships"
    )


def _beyond(view: View, iri: str) -> View:
    """The view of the entities to which this relationship (IRI) links (4.21)."""
    if view.pick is None and view.omit is None:
        return view
    return replace(
        view,
        pick=view.pick and view.pick.of(iri),
        omit=view.omit and view.omit.of(iri),
    )


def _uris(instance: Instance) -> list[str]:
    target = instance[KINDS[instance["type"]].value]
    return target if isinstance(target, list) else [target]


class Inlined:
    """Shows entities with `linked` ones inside (4.5.23.2). It counts these, so each answer needs its own."""

    def __init__(self, linked: Mapping[str, Entity], join: Join, context: Context) -> None:
        self._linked = linked
        self._join = join
        self._context = context
        self._count = 0

    def show(self, entity: Entity, view: View) -> dict[str, Json]:
        """The entity as JSON. TooManyResults above the limit of the join."""
        return self._show(entity, view, self._join.level, self._join.contained_by | {entity["id"]})

    def _show(self, entity: Entity, view: View, level: int, above: frozenset[str]) -> dict[str, Json]:
        shown = entity_json(entity, self._context, view)
        if level:
            for iri, instances in attributes(entity, view):
                if any(instance["type"] in _LINKS for instance in instances):
                    name, inner = self._context.compact(iri), _beyond(view, iri)
                    docs = [self._beyond(instance, inner, level - 1, above) for instance in instances]
                    shown[name] = _joined(shown[name], instances, docs, view.format)
        return shown

    def _beyond(self, instance: Instance, view: View, level: int, above: frozenset[str]) -> dict[str, Json]:
        """The entities to which an instance links, as JSON, by id."""
        if instance["type"] not in _LINKS:
            return {}
        docs = {}
        for uri in _uris(instance):
            if uri in self._linked and uri not in above:
                self._count += 1
                if self._count > self._join.most:
                    raise too_many(self._join)
                if doc := self._show(self._linked[uri], view, level, above | {uri}):
                    docs[uri] = doc
        return docs


def _joined(shown: Json, instances: list[Instance], docs: list[dict[str, Json]], format: str) -> Json:
    """An attribute as JSON, with the entities (`docs`, by id) to which each of its instances links."""
    if format != "simplified":
        shown_instances = shown if isinstance(shown, list) else [shown]
        for shown_instance, instance, linked in zip(shown_instances, instances, docs, strict=True):
            if linked:
                shown_instance[_LINKS[instance["type"]]] = _entities(instance, linked)
        return shown
    if len(instances) == 1 and "datasetId" not in instances[0]:
        return _replaced(instances[0], docs[0]) if docs[0] else shown
    pairs = zip(instances, docs, strict=True)
    values = {
        instance.get("datasetId", "@none"): _replaced(instance, linked)
        for instance, linked in pairs
        if linked
    }
    return {"dataset": shown["dataset"] | values}


def _entities(instance: Instance, inside: dict[str, Json]) -> Json:
    return _one_or_all(instance, [inside[uri] for uri in _uris(instance) if uri in inside])


def _replaced(instance: Instance, inside: dict[str, Json]) -> Json:
    return _one_or_all(instance, [inside.get(uri, uri) for uri in _uris(instance)])


def _one_or_all(instance: Instance, docs: list[Json]) -> Json:
    return docs if isinstance(instance[KINDS[instance["type"]].value], list) else docs[0]
