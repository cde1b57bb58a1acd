"""Representations of evolutions: normalized (4.5.6 to 4.5.8), simplified (4.5.9), aggregated (4.5.19)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker.core import Instance, Json, instant
from broker.core.entity.downgrade import Version, downgraded_evolution
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import attribute, is_shown, value
from broker.core.jsonld.context import Context
from broker.core.lang import natural
from broker.core.lang.projection import Projection
from broker.core.temporal import SCOPE, Evolution, aggregation_periods
from broker.core.temporal.aggregation import Aggregate, Period, results
from broker.core.temporal.window import Window, time_of


@dataclass(frozen=True, slots=True)
class TemporalView:
    """How evolutions are shown.

    `format`: a key of FORMATS. `sys_attrs`: whether system attributes are shown. `window`: its time property
    is the time of a value in simplified form. `methods`: of an aggregated representation. `version`: an older
    version of the specification to which the result conforms (4.3.6.8). `pick` and `omit`: projections
    (4.21). `languages`: with any, LanguageProperties are shown as Properties (4.15).
    """

    format: str = "normalized"
    sys_attrs: bool = False
    window: Window | None = None
    methods: tuple[str, ...] = ()
    version: Version | None = None
    pick: Projection | None = None
    omit: Projection | None = None
    languages: natural.Ranges = ()


def view(evolution: Evolution, context: Context, view: TemporalView) -> dict[str, Json]:
    """The evolution as JSON in the names of `context`, without @context; empty if nothing is shown."""
    if view.version is not None:
        evolution = downgraded_evolution(evolution, view.version, context.compacted)
    compact, types = context.compact, evolution.types
    shown: dict[str, Json] = {
        "id": evolution.id,
        "type": compact(types[0]) if len(types) == 1 else [compact(iri) for iri in types],
    }
    if view.sys_attrs:
        times = (evolution.created_at, evolution.modified_at, evolution.deleted_at)
        names = ("createdAt", "modifiedAt", "deletedAt")
        shown |= {name: instant.show(time) for name, time in zip(names, times, strict=True) if time}
    if view.pick is not None or view.omit is not None:
        shown = {name: value for name, value in shown.items() if is_shown(name, view.pick, view.omit)}
    for iri, aggregates in evolution.aggregates.items():
        if docs := _aggregated(aggregates, view.methods):
            shown[compact(iri)] = _alone(docs)
    show = FORMATS[view.format]
    for iri, instances in evolution.attrs.items():
        if iri == SCOPE:
            instances = [_scope(instance) for instance in instances]
        if instances:
            shown[compact(iri)] = show(instances, context, view)
        else:
            shown[compact(iri)] = _nothing(evolution.emptied[iri], view)
    return shown


def _normalized(instances: list[Instance], context: Context, view: TemporalView) -> Json:
    """4.5.7, 4.5.8: an array of the instances, even of a single one."""
    if view.sys_attrs or view.languages or view.format != "normalized":
        return [_instance(instance, context, view) for instance in instances]
    return [
        {**instance, "observedAt": instance["observedAt"] + "Z"}
        if "observedAt" in instance and _PLAIN.issuperset(instance)
        else _instance(instance, context, view)
        for instance in instances
    ]


# The members of most observed instances. Such an instance is shown without a change, except for its time.
_PLAIN = frozenset({"type", "value", "object", "unitCode", "datasetId", "instanceId", "observedAt"})


def _instance(instance: Instance, context: Context, view: TemporalView) -> Json:
    """An instance with its times. deletedAt is always shown, because it is the time of the deletion."""
    names = ("createdAt", "modifiedAt", "expiresAt", "deletedAt") if view.sys_attrs else ("deletedAt",)
    times = {name: instant.show(instance[name]) for name in names if name in instance}
    format = "concise" if view.format == "concise" else "normalized"
    return attribute([instance], context, format, None, view.languages) | times


def _temporal_values(instances: list[Instance], context: Context, view: TemporalView) -> Json:
    """4.5.9: for each kind and datasetId that the attribute has had, the pairs [value, time]."""
    series: dict[tuple[str, str | None], list[Json]] = {}
    for instance in instances:
        pair = [value(instance, context, view.languages), instant.show(time_of(instance, view.window))]
        kind = "Property" if view.languages and "languageMap" in instance else instance["type"]
        series.setdefault((kind, instance.get("datasetId")), []).append(pair)
    return _alone(
        [
            _labelled(kind, dataset, {KINDS[kind].value + "s": pairs})
            for (kind, dataset), pairs in series.items()
        ]
    )


def _aggregated(aggregates: list[Aggregate], methods: tuple[str, ...]) -> list[Json]:
    """4.5.19: for each series, the results of the methods that are eligible for its values."""
    docs = []
    for aggregate in sorted(
        aggregates, key=lambda aggregate: (aggregate.is_relationship, aggregate.dataset or "")
    ):
        members = {
            method: [_in_period(*pair) for pair in pairs]
            for method in methods
            if (pairs := results(method, aggregate.periods)) is not None
        }
        if members:
            kind = "Relationship" if aggregate.is_relationship else "Property"
            docs.append(_labelled(kind, aggregate.dataset, members))
    return docs


def _in_period(value: Json, period: Period) -> list[Json]:
    """[value, start, end] of an aggregate (4.5.19)."""
    return [value, aggregation_periods.show(period.start), aggregation_periods.show(period.end)]


def _labelled(kind: str, dataset: str | None, members: dict[str, Json]) -> dict[str, Json]:
    return {"type": kind, **members, **({} if dataset is None else {"datasetId": dataset})}


def _alone(docs: list[Json]) -> Json:
    return docs[0] if len(docs) == 1 else docs


def _nothing(kind: str, view: TemporalView) -> Json:
    return {"type": kind, KINDS[kind].value + "s": []} if view.format == "temporalValues" else []


def _scope(instance: Instance) -> Instance:
    """4.18: a single scope is shown as a string. A deletion has no scopes: an empty array."""
    scopes = instance["value"]
    return {**instance, "value": scopes[0]} if len(scopes) == 1 else instance


_Show = Callable[[list[Instance], Context, TemporalView], Any]
FORMATS: dict[str, _Show] = {
    "normalized": _normalized,
    "concise": _normalized,
    "temporalValues": _temporal_values,
    "aggregatedValues": _normalized,  # an aggregated evolution has no instances
}
