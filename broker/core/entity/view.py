"""Representations of entities: normalized, concise, simplified (clauses 4.5.1 to 4.5.5, 6.3.7, 6.3.11)."""

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
    """How an entity is shown: its format, and which parts of it.

    `format`: normalized, concise or simplified. `sys_attrs`: whether system attributes are shown. `pick` and
    `omit`: projections (4.21). `languages`: with any, LanguageProperties are shown as Properties (4.15).
    `datasets`: only instances of these datasetIds are shown ("@none": the default instance, 4.5.5).
    `version`: an older version of the specification to which the result conforms (4.3.6.8).
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
        """Whether all instances of all attributes are shown, without a change for an older version."""
        return self.pick is None and self.omit is None and self.datasets is None and self.version is None

    @property
    def needed(self) -> tuple[str, ...]:
        """Attributes (IRIs) or "scope": if none of them exists, nothing is shown. Empty: no condition."""
        if self.pick is None or self.pick.members - {"scope"}:
            return ()
        named = [iri for iri, _ in self.pick.attrs] + [*self.pick.members]
        return tuple(name for name in named if self.omit is None or not self.omit.is_whole(name))


# (@context, createdAt of the entity if system attributes are shown, languages). A plain tuple, because one is
# made for every entity.
_How = tuple[Context, str | None, natural.Ranges]


def view(entity: Entity, context: Context, view: View) -> dict[str, Json]:
    """The entity as JSON in the names of `context`, without @context; empty if nothing of it is shown."""
    if view.version is not None:
        entity = downgraded(entity, view.version)
    compact = context.compact
    types = entity["type"]
    shown: dict[str, Json] = {
        "id": entity["id"],
        "type": compact(types[0]) if len(types) == 1 else [compact(iri) for iri in types],
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
    """Pairs (IRI, instances) of the attributes that are shown, converted to `view.version`.

    `compacted` compacts the IRIs that become plain values (`downgrade.Older`); it matters for values only.
    """
    attrs: _Attributes = entity["attrs"].items()
    if view.pick is not None or view.omit is not None:
        attrs = [(iri, instances) for iri, instances in attrs if is_shown(iri, view.pick, view.omit)]
    if (datasets := view.datasets) is not None:
        attrs = list(of_datasets(attrs, datasets))
    if view.version is not None:
        older = Older(view.version, compacted, translated=bool(view.languages))
        attrs = [(iri, older.instances(instances)) for iri, instances in attrs]
    return attrs


def is_shown(name: str, pick: Projection | None, omit: Projection | None) -> bool:
    """Whether `pick` and `omit` let a member of an entity be shown (4.21)."""
    return (pick is None or name in pick) and (omit is None or not omit.is_whole(name))


def attribute(
    instances: list[Instance],
    context: Context,
    format: str,
    born: str | None,
    languages: natural.Ranges = (),
) -> Json:
    """One attribute as JSON: an object, or an array if it has several instances.

    `born`: createdAt of the entity if system attributes are shown, else None.
    """
    return _FORMATS[format](instances, (context, born, languages))


def _normalized(instances: list[Instance], how: _How) -> Json:
    if len(instances) == 1:
        return _instance(instances[0], how, _normalized)
    return [_instance(instance, how, _normalized) for instance in instances]


def _concise(instances: list[Instance], how: _How) -> Json:
    docs = [_brief(_instance(instance, how, _concise)) for instance in instances]
    return _bare(docs[0]) if len(docs) == 1 else docs


def _simplified(instances: list[Instance], how: _How) -> Json:
    context, _, languages = how
    if len(instances) == 1 and "datasetId" not in instances[0]:
        return value(instances[0], context, languages)
    return {
        "dataset": {
            instance.get("datasetId", "@none"): value(instance, context, languages) for instance in instances
        }
    }


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
    """The concise form of a normalized instance: without its type, if the value determines it."""
    kind = shown.pop("type")
    if "objectList" in shown:
        shown["objectList"] = [target["object"] for target in shown["objectList"]]
    if kind == "Property" and is_geometry(shown["value"]):  # else it would be parsed as a GeoProperty
        shown["type"] = kind
    return shown


def _bare(shown: dict[str, Json]) -> Json:
    """The bare value of an instance without other members. Objects (except geometries) and arrays of objects
    stay wrapped: bare, they could be parsed as something else than a value (specs/doubts.md)."""
    if shown.keys() != {"value"}:
        return shown
    value = shown["value"]
    if isinstance(value, list):
        return shown if any(isinstance(item, dict) for item in value) else value
    return shown if isinstance(value, dict) and not is_geometry(value) else value


def value(instance: Instance, context: Context, languages: natural.Ranges = ()) -> Json:
    """The simplified form of one instance (4.5.4): its value, wrapped if the kind must stay visible."""
    name = KINDS[instance["type"]].value
    bare = instance[name]
    if name == "vocab":
        return {"vocab": context.compacted(bare)}
    if name == "languageMap" and languages and bare:
        return bare[natural.choose(languages, bare)]
    return {name: bare} if name in ("languageMap", "json") else bare
