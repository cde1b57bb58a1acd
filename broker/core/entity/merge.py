"""Merge patch (clauses 5.5.12, 5.6.17): a fragment goes as deep as it is, into values and sub-attributes."""

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity import parse
from broker.core.entity.instances import is_deletion, set_attrs, stamped, without_nulls
from broker.core.entity.kinds import KINDS
from broker.core.entity.parse import Fragment, Reading
from broker.core.entity.update import Outcome, Rule, found, written
from broker.core.uri import NULL

_DEEP = frozenset({"value", "languageMap", "json"})  # values into which a merge goes; others are replaced


def merge(entity_id: str, fragment: Fragment, reading: Reading, observed_at: str | None = None) -> Rule:
    """5.6.17 Merge Entity. `observed_at` goes to the attributes that had an observedAt and are given none."""

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        attrs = dict(entity["attrs"])
        for iri, new in fragment.attrs.items():
            attrs[iri] = _instances(iri, attrs.get(iri, []), new, reading, observed_at, now)
        return Outcome(written(entity, attrs, fragment, now))

    return rule


def _instances(
    path: str, old: list[Instance], new: list[Instance], reading: Reading, observed_at: str | None, now: str
) -> list[Instance]:
    """The instances of an attribute after others were merged into them, by datasetId."""
    standing = {one.get("datasetId"): one for one in old}
    for one in new:
        dataset = one.get("datasetId")
        there = standing.get(dataset)
        read = _read(path, one, there, reading)
        if is_deletion(read):
            standing.pop(dataset, None)
        elif there is None or there["type"] != read["type"]:
            standing[dataset] = stamped(_clean(read), there, now)
        else:
            if observed_at is not None and "observedAt" in there and "observedAt" not in read:
                read = {**read, "observedAt": observed_at}
            standing[dataset] = _merged(path, there, read, reading, now)
    return list(standing.values())


def _read(path: str, new: Instance, there: Instance | None, reading: Reading) -> Instance:
    """An instance that was sent as a bare value, by the kind of the one it is for (5.6.17.4)."""
    if "raw" not in new:
        return new
    raw = new["raw"]
    if there is None:
        return parse.instance(path, raw, Reading(reading.context, nulls=True, deep=True))
    kind = KINDS[there["type"]]
    if kind.value == "languageMap" and isinstance(raw, str) and reading.language is not None:
        raw = {reading.language: raw}
    elif isinstance(raw, dict) and raw.keys() == {kind.value}:  # simplified {"languageMap": {…}} and the like
        raw = raw[kind.value]
    return parse.instance(path, {"type": kind.type, kind.value: raw}, reading)


def _merged(path: str, old: Instance, new: Instance, reading: Reading, now: str) -> Instance:
    name = KINDS[old["type"]].value
    merged = {**old, **new, "modifiedAt": now}
    if name in _DEEP:
        merged[name] = _merged_value(old[name], new[name])
    merged = without_nulls(merged)
    if "attrs" in new:
        subs: Attributes = dict(old.get("attrs", {}))
        for iri, many in new["attrs"].items():
            subs[iri] = _instances(f"{path}.{iri}", subs.get(iri, []), many, reading, None, now)
        set_attrs(merged, subs)
    return merged


def _merged_value(old: Json, new: Json) -> Json:
    """JSON Merge Patch (RFC 7396), with NGSI-LD Nulls for nulls."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value == NULL:
            merged.pop(name, None)
        else:
            merged[name] = _merged_value(merged.get(name), value)
    return merged


def _clean(instance: Instance) -> Instance:
    """A new instance without the Nulls inside its value: there is nothing that they could delete."""
    name = KINDS[instance["type"]].value
    return {**instance, name: _merged_value(None, instance[name])} if name in _DEEP else instance
