"""Evolutions as clients see them: normalized (clauses 4.5.6 to 4.5.8) and simplified (4.5.9)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broker.core import Instance, Json, instant
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import attribute, value
from broker.core.jsonld.context import Context
from broker.core.temporal import SCOPE, Evolution
from broker.core.temporal.window import Window, time_of


@dataclass(frozen=True, slots=True)
class TemporalView:
    """How evolutions are shown: in which format, with system attributes or not, and by which time."""

    format: str = "normalized"
    sys_attrs: bool = False
    window: Window | None = None


def view(evolution: Evolution, context: Context, view: TemporalView) -> dict[str, Json]:
    """The evolution as JSON in the names of `context`, without its @context."""
    compact, types = context.compact, evolution.types
    shown: dict[str, Json] = {
        "id": evolution.id,
        "type": compact(types[0]) if len(types) == 1 else [compact(one) for one in types],
    }
    if view.sys_attrs:
        times = (evolution.created_at, evolution.modified_at, evolution.deleted_at)
        names = ("createdAt", "modifiedAt", "deletedAt")
        shown |= {name: instant.show(time) for name, time in zip(names, times, strict=True) if time}
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
    return [_instance(one, context, view.sys_attrs) for one in instances]


def _instance(one: Instance, context: Context, sys_attrs: bool) -> Json:
    """An instance, with its own times; that of a deletion in any case, for here it is the news itself."""
    names = ("createdAt", "modifiedAt", "expiresAt", "deletedAt") if sys_attrs else ("deletedAt",)
    times = {name: instant.show(one[name]) for name in names if name in one}
    return attribute([one], context, "normalized", None) | times


def _temporal_values(instances: list[Instance], context: Context, view: TemporalView) -> Json:
    """4.5.9: for each kind and datasetId that the attribute has had, the pairs of value and time."""
    series: dict[tuple[str, str | None], list[Json]] = {}
    for one in instances:
        pair = [value(one, context), instant.show(time_of(one, view.window))]
        series.setdefault((one["type"], one.get("datasetId")), []).append(pair)
    many = [_series(kind, pairs, dataset) for (kind, dataset), pairs in series.items()]
    return many[0] if len(many) == 1 else many


def _series(kind: str, pairs: list[Json], dataset: str | None = None) -> dict[str, Json]:
    shown: dict[str, Json] = {"type": kind, KINDS[kind].value + "s": pairs}
    if dataset is not None:
        shown["datasetId"] = dataset
    return shown


def _nothing(kind: str, view: TemporalView) -> Json:
    return _series(kind, []) if view.format == "temporalValues" else []


def _scope(instance: Instance) -> Instance:
    """4.18: a single scope is a string. A deletion leaves none, which is an empty array."""
    scopes = instance["value"]
    return {**instance, "value": scopes[0]} if len(scopes) == 1 else instance


_Show = Callable[[list[Instance], Context, TemporalView], Any]
FORMATS: dict[str, _Show] = {"normalized": _normalized, "temporalValues": _temporal_values}
