"""Entities as clients see them: normalized, concise, simplified (clauses 4.5.1 to 4.5.5, 6.3.7, 6.3.11)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from broker.core import Entity, Instance, Json
from broker.core.entity.downgrade import Compacted, Older, Version, downgraded
from broker.core.entity.geometry import is_geometry
from broker.core.entity.instances import created_at, modified_at, of_datasets
from broker.core.entity.kinds import KINDS
from broker.core.jsonld.context import Context
from broker.core.lang import natural
from broker.core.lang.projection import Projection


@dataclass(frozen=True, slots=True)
class View:
    """What of an entity is shown: in which format, with system attributes or not, and which parts.

    `pick` and `omit` are of 4.21. With `languages` (4.15) a LanguageProperty is shown as a Property; with
    `datasets` only instances of these datasetIds are, "@none" for the default (4.5.5). `version` is an older
    one of the specification that what is shown has to conform to (4.3.6.8).
    """

    format: str = "normalized"
    sys_attrs: bool = False
    pick: Projection | None = None
    omit: Projection | None = None
    languages: natural.Ranges = ()
    datasets: frozenset[str] | None = None
    version: Version | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every instance of every attribute is shown, as it is."""
        return self.pick is None and self.omit is None and self.datasets is None and self.version is None

    @property
    def needed(self) -> tuple[str, ...]:
        """The attributes, or the scope, of which one must be there for anything to be shown."""
        if self.pick is None or self.pick.members - {"scope"}:
            return ()
        named = [iri for iri, _ in self.pick.attrs] + [*self.pick.members]
        return tuple(name for name in named if self.omit is None or not self.omit.is_whole(name))


# How instances are shown: in whose names; when the entity was created, if system attributes are to be shown;
# in which languages. A plain tuple, for there is one for every entity.
_How = tuple[Context, str | None, natural.Ranges]


def view(entity: Entity, context: Context, view: View) -> dict[str, Json]:
    """The entity as JSON in the names of `context`, without its @context; empty if nothing of it is shown."""
    if view.version is not None:
        entity = downgraded(entity, view.version)
    compact = context.compact
    types = entity["type"]
    shown: dict[str, Json] = {
        "id": entity["id"],
        "type": compact(types[0]) if len(types) == 1 else [compact(one) for one in types],
    }
    if scope := entity.get("scope"):
        shown["scope"] = scope[0] if len(scope) == 1 else scope
    if view.sys_attrs:
        shown["createdAt"] = entity["createdAt"] + "Z"
        shown["modifiedAt"] = entity["modifiedAt"] + "Z"
        for name in ("expiresAt", "deletedAt"):
            if name in entity:
                shown[name] = entity[name] + "Z"
    if view.pick is not None or view.omit is not None:
        shown = {name: value for name, value in shown.items() if is_shown(name, view.pick, view.omit)}
    show = _FORMATS[view.format]
    how = (context, entity["createdAt"] if view.sys_attrs else None, view.languages)
    attrs = entity["attrs"].items() if view.is_whole else attributes(entity, view, context.compacted)
    for iri, instances in attrs:
        shown[compact(iri)] = show(instances, how)
    return shown


_Attributes = Iterable[tuple[str, list[Instance]]]


def attributes(entity: Entity, view: View, compacted: Compacted = str) -> _Attributes:
    """The attributes of an entity that are shown, with the instances that are, as `view.version` has them.

    `compacted` is only needed by who looks at values (`downgrade.Older`).
    """
    found: _Attributes = entity["attrs"].items()
    if view.pick is not None or view.omit is not None:
        found = [(iri, instances) for iri, instances in found if is_shown(iri, view.pick, view.omit)]
    if (datasets := view.datasets) is not None:
        found = list(of_datasets(found, datasets))
    if view.version is not None:
        older = Older(view.version, compacted, translated=bool(view.languages))
        found = [(iri, older.instances(instances)) for iri, instances in found]
    return found


def is_shown(name: str, pick: Projection | None, omit: Projection | None) -> bool:
    """Whether a member of an entity is shown (4.21)."""
    return (pick is None or name in pick) and (omit is None or not omit.is_whole(name))


def attribute(
    instances: list[Instance],
    context: Context,
    format: str,
    born: str | None,
    languages: natural.Ranges = (),
) -> Json:
    """One attribute as JSON: an object, or an array when it has several instances.

    `born` is when the entity was created, if system attributes are to be shown.
    """
    return _FORMATS[format](instances, (context, born, languages))


def _normalized(instances: list[Instance], how: _How) -> Json:
    if len(instances) == 1:
        return _instance(instances[0], how, _normalized)
    return [_instance(one, how, _normalized) for one in instances]


def _concise(instances: list[Instance], how: _How) -> Json:
    many = [_brief(_instance(one, how, _concise)) for one in instances]
    return _bare(many[0]) if len(many) == 1 else many


def _simplified(instances: list[Instance], how: _How) -> Json:
    context, _, languages = how
    if len(instances) == 1 and "datasetId" not in instances[0]:
        return value(instances[0], context, languages)
    return {"dataset": {one.get("datasetId", "@none"): value(one, context, languages) for one in instances}}


_Show = Callable[[list[Instance], _How], Any]
_FORMATS: dict[str, _Show] = {"normalized": _normalized, "concise": _concise, "simplified": _simplified}


def _instance(instance: Instance, how: _How, show: _Show) -> dict[str, Json]:
    context, born, languages = how
    shown = instance.copy()
    for name in ("createdAt", "modifiedAt", "expiresAt"):
        if name in shown:
            del shown[name]
    if born is not None:
        shown |= _system(instance, born)
    if "observedAt" in shown:
        shown["observedAt"] += "Z"
    for name in _NAMED:
        if name in shown:
            _compact_name(shown, name, context)
    if languages and (texts := shown.get("languageMap")):
        del shown["languageMap"]
        tag = natural.choose(languages, texts)
        shown |= {"type": "Property", "value": texts[tag], "lang": tag}
    if "attrs" in shown:
        for iri, instances in shown.pop("attrs").items():
            shown[context.compact(iri)] = show(instances, how)
    return shown


def _system(instance: Instance, born: str) -> dict[str, Json]:
    """The system attributes of an instance (4.8)."""
    times = {"createdAt": created_at(instance, born) + "Z", "modifiedAt": modified_at(instance, born) + "Z"}
    return times | {name: instance[name] + "Z" for name in ("expiresAt", "deletedAt") if name in instance}


_NAMED = ("vocab", "objectType", "valueType", "objectList", "entityTypeSealed")


def _compact_name(shown: dict[str, Json], name: str, context: Context) -> None:
    if name == "objectList":
        shown[name] = [{"object": uri} for uri in shown[name]]
    else:
        shown[name] = context.compacted(shown[name])


def _brief(shown: dict[str, Json]) -> dict[str, Json]:
    """The concise form of a normalized instance: without its type, where the value tells it."""
    kind = shown.pop("type")
    if "objectList" in shown:
        shown["objectList"] = [one["object"] for one in shown["objectList"]]
    if kind == "Property" and is_geometry(shown["value"]):  # it would be read back as a GeoProperty
        shown["type"] = kind
    return shown


def _bare(shown: dict[str, Json]) -> Json:
    """A lone value without the object around it. Objects keep it, but for geometries, and so do arrays of
    objects: they could be read back as something else than a Property's value (specs/doubts.md)."""
    if shown.keys() != {"value"}:
        return shown
    value = shown["value"]
    if isinstance(value, list):
        return shown if any(isinstance(one, dict) for one in value) else value
    return shown if isinstance(value, dict) and not is_geometry(value) else value


def value(instance: Instance, context: Context, languages: natural.Ranges = ()) -> Json:
    """The simplified form of one instance (4.5.4): its value, wrapped where its kind must stay visible."""
    name = KINDS[instance["type"]].value
    bare = instance[name]
    if name == "vocab":
        return {"vocab": context.compacted(bare)}
    if name == "languageMap" and languages and bare:
        return bare[natural.choose(languages, bare)]
    return {name: bare} if name in ("languageMap", "json") else bare
