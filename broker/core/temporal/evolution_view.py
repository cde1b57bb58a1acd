"""Evolutions as clients see them: normalized (clauses 4.5.6 to 4.5.8), simplified (4.5.9), aggregated
(4.5.19).
"""

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
    """How evolutions are shown: in which format, with system attributes or not, and by which time.

    `methods`: those of an aggregated representation. `version`: an older one of the specification that what
    is shown has to conform to (4.3.6.8). `pick` and `omit` are of 4.21; with `languages` (4.15) a
    LanguageProperty is shown as a Property.
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
    """The evolution as JSON in the names of `context`, without its @context; empty if nothing is shown."""
    if view.version is not None:
        evolution = downgraded_evolution(evolution, view.version, context.compacted)
    compact, types = context.compact, evolution.types
    shown: dict[str, Json] = {
        "id": evolution.id,
        "type": compact(types[0]) if len(types) == 1 else [compact(one) for one in types],
    }
    if view.sys_attrs:
        times = (evolution.created_at, evolution.modified_at, evolution.deleted_at)
        names = ("createdAt", "modifiedAt", "deletedAt")
        shown |= {name: instant.show(time) for name, time in zip(names, times, strict=True) if time}
    if view.pick is not None or view.omit is not None:
        shown = {name: value for name, value in shown.items() if is_shown(name, view.pick, view.omit)}
    for iri, aggregates in evolution.aggregates.items():
        if many := _aggregated(aggregates, view.methods):
            shown[compact(iri)] = _alone(many)
    show = FORMATS[view.format]
    for iri, instances in evolution.attrs.items():
        if iri == SCOPE:
            instances = [_scope(one) for one in instances]
        if instances:
            shown[compact(iri)] = show(instances, context, view)
        else:
            shown[compact(iri)] = _nothing(evolution.emptied[iri], view)
    return shown


def _normalized(instances: list[Instance], context: Context, view: TemporalView) -> Json:
    """4.5.7, 4.5.8: an array of the instances, of a single one, too."""
    if view.sys_attrs or view.languages or view.format != "normalized":
        return [_instance(one, context, view) for one in instances]
    return [
        {**one, "observedAt": one["observedAt"] + "Z"}
        if "observedAt" in one and _PLAIN.issuperset(one)
        else _instance(one, context, view)
        for one in instances
    ]


# What instances that were observed mostly consist of: they are shown as they are, but for the time.
_PLAIN = frozenset({"type", "value", "object", "unitCode", "datasetId", "instanceId", "observedAt"})


def _instance(one: Instance, context: Context, view: TemporalView) -> Json:
    """An instance, with its own times; that of a deletion in any case, for here it is the news itself."""
    names = ("createdAt", "modifiedAt", "expiresAt", "deletedAt") if view.sys_attrs else ("deletedAt",)
    times = {name: instant.show(one[name]) for name in names if name in one}
    format = "concise" if view.format == "concise" else "normalized"
    return attribute([one], context, format, None, view.languages) | times


def _temporal_values(instances: list[Instance], context: Context, view: TemporalView) -> Json:
    """4.5.9: for each kind and datasetId that the attribute has had, the pairs of value and time."""
    series: dict[tuple[str, str | None], list[Json]] = {}
    for one in instances:
        pair = [value(one, context, view.languages), instant.show(time_of(one, view.window))]
        kind = "Property" if view.languages and "languageMap" in one else one["type"]
        series.setdefault((kind, one.get("datasetId")), []).append(pair)
    return _alone(
        [
            _labelled(kind, dataset, {KINDS[kind].value + "s": pairs})
            for (kind, dataset), pairs in series.items()
        ]
    )


def _aggregated(aggregates: list[Aggregate], methods: tuple[str, ...]) -> list[Json]:
    """4.5.19: what the methods that can take its values make of the periods of each series that has any."""
    many = []
    for one in sorted(aggregates, key=lambda one: (one.is_relationship, one.dataset or "")):
        made = {method: found for method in methods if (found := results(method, one.periods)) is not None}
        members = {method: [_in_period(*pair) for pair in found] for method, found in made.items()}
        if members:
            kind = "Relationship" if one.is_relationship else "Property"
            many.append(_labelled(kind, one.dataset, members))
    return many


def _in_period(value: Json, period: Period) -> list[Json]:
    """[value, start, end] of an aggregate (4.5.19)."""
    return [value, aggregation_periods.show(period.start), aggregation_periods.show(period.end)]


def _labelled(kind: str, dataset: str | None, members: dict[str, Json]) -> dict[str, Json]:
    return {"type": kind, **members, **({} if dataset is None else {"datasetId": dataset})}


def _alone(many: list[Json]) -> Json:
    return many[0] if len(many) == 1 else many


def _nothing(kind: str, view: TemporalView) -> Json:
    return {"type": kind, KINDS[kind].value + "s": []} if view.format == "temporalValues" else []


def _scope(instance: Instance) -> Instance:
    """4.18: a single scope is a string. A deletion leaves none, which is an empty array."""
    scopes = instance["value"]
    return {**instance, "value": scopes[0]} if len(scopes) == 1 else instance


_Show = Callable[[list[Instance], Context, TemporalView], Any]
FORMATS: dict[str, _Show] = {
    "normalized": _normalized,
    "concise": _normalized,
    "temporalValues": _temporal_values,
    "aggregatedValues": _normalized,  # it has no instances
}
