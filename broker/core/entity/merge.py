"""Merge patch (clauses 5.5.12, 5.6.17): a fragment goes as deep as it is, into values and sub-attributes.

What was sent is read by what there is (`sent`), and what comes of it has to be right at every depth.
"""

from dataclasses import dataclass
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity import geometry, parse
from broker.core.entity.instances import set_attrs, without_nulls
from broker.core.entity.kinds import GEO_ATTRIBUTES, OF_INSTANCES, SYSTEM, TYPE, Kind
from broker.core.entity.sent import Form, SentInstance, pieces
from broker.core.entity.update import Outcome, Rule, found, written
from broker.core.entity.values import Reading, is_literal, value
from broker.core.errors import BadRequestData
from broker.core.uri import NULL

_DEEP = frozenset({"value", "languageMap", "json"})  # values into which a merge goes; others are replaced


@dataclass(frozen=True, slots=True)
class Patch:
    """An Entity Fragment to be merged: attributes as they were `sent`, types to add, and plain members.

    `sent` holds names and JSON, by the IRI of the attribute. A plain member that is `NULL` is to be deleted.
    """

    sent: dict[str, tuple[str, Json]]
    types: list[str]
    members: dict[str, Json]
    form: Form


def patch(doc: Json, form: Form) -> Patch:
    """What a document has to be merged. BadRequestData for what is wrong whatever it is merged into."""
    reading = Reading(form.context, nulls=True)
    sent = {
        parse.attribute_name(name, form.context): (name, raw)
        for name, raw in parse.named_attributes(doc, reading)
    }
    return Patch(sent, parse.types(doc, form.context), parse.plain_members(doc, reading), form)


def merge(entity_id: str, patch: Patch, observed_at: str | None = None) -> Rule:
    """5.6.17 Merge Entity. `observed_at` goes to the attributes that had an observedAt and are given none."""

    def rule(before: Entity | None, now: str) -> Outcome:
        how = _How(patch.form, Reading(patch.form.context, nulls=True, deep=True), now)
        if before is None:
            _check_values(patch, how)
        entity = found(before, entity_id)
        attrs = dict(entity["attrs"])
        for iri, (name, raw) in patch.sent.items():
            attrs[iri] = _attribute(name, attrs.get(iri, []), raw, how, observed_at)
            if iri in GEO_ATTRIBUTES and any(one["type"] != "GeoProperty" for one in attrs[iri]):
                raise BadRequestData(f"{name}: expected a GeoProperty")
        return Outcome(written(entity, attrs, patch.types, patch.members, now))

    return rule


class _How(NamedTuple):
    """How attributes are merged: the form that they were sent in, how to read their members, and when."""

    form: Form
    reading: Reading
    now: str


def _check_values(patch: Patch, how: _How) -> None:
    """BadRequestData for values that are wrong whatever they are merged into; that is said before a 404."""
    for name, raw in patch.sent.values():
        kind = parse.kind_of(raw) if isinstance(raw, dict) else None
        if kind is not None and kind.value in raw:
            _value(kind, None, raw[kind.value], f"{name}.{kind.value}", how.reading)


def _attribute(
    path: str, old: list[Instance], raw: Json, how: _How, observed_at: str | None = None
) -> list[Instance]:
    """The instances of an attribute after what was sent for it was merged into them, by datasetId."""
    standing = {one.get("datasetId"): one for one in old}
    for piece in pieces(path, raw, standing, how.form):
        how.reading.room.take()
        there = standing.get(piece.dataset)
        merged = _merged(path, there, piece, how)
        if merged[piece.kind.value] == NULL:
            standing.pop(piece.dataset, None)
            continue
        if observed_at and there and "observedAt" in there and "observedAt" not in piece.members:
            merged["observedAt"] = observed_at
        standing[piece.dataset] = merged
    return list(standing.values())


def _merged(path: str, there: Instance | None, piece: SentInstance, how: _How) -> Instance:
    """The instance with the members that were sent; only these, if it was of another kind. A value that is
    `NULL` deletes it.
    """
    kind, base = piece.kind, there
    if base is not None and base["type"] != kind.type:
        base = None
    new = _read(path, piece, base, how)
    if kind.value in piece.members:
        new[kind.value] = _value(kind, base, piece.members[kind.value], f"{path}.{kind.value}", how.reading)
    elif base is None:
        raise BadRequestData(f"{path}.{kind.value}: expected, since {path} becomes a {kind.type}")
    if new.get(kind.value) == NULL:
        return new
    merged = without_nulls({**(base or {}), **new, **_times(there, how.now)})
    if path.endswith(parse.PROOF):
        parse.check_proof(path, merged[kind.value], kind)
    if "attrs" in new:
        set_attrs(merged, new["attrs"])
    return merged


def _read(path: str, piece: SentInstance, base: Instance | None, how: _How) -> Instance:
    """The members that were sent but for the value. In `attrs` are all sub-attributes, if any was sent."""
    new: Instance = {"type": piece.kind.type}
    for name, raw in piece.members.items():
        where = f"{path}.{name}"
        if name == piece.kind.value or name in SYSTEM or name in TYPE:
            continue
        if name in OF_INSTANCES:
            new |= parse.plain(piece.kind, name, raw, where, how.reading)
        else:
            subs: Attributes = new.setdefault("attrs", dict(base.get("attrs", {})) if base else {})
            iri = parse.attribute_name(name, how.form.context, where)
            subs[iri] = _attribute(where, subs.get(iri, []), raw, how)
    return new


def _value(kind: Kind, base: Instance | None, raw: Json, path: str, reading: Reading) -> Json:
    new = value(kind, raw, path, reading)
    if new == NULL or kind.value not in _DEEP:
        return new
    merged = _merged_value(base[kind.value] if base else None, new)
    if kind.type == "GeoProperty":
        geometry.check(merged, path)
    return merged


def _merged_value(old: Json, new: Json) -> Json:
    """JSON Merge Patch (RFC 7396), with NGSI-LD Nulls for nulls."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    if (is_literal(merged) or is_literal(new)) and not is_literal({**merged, **new}):
        merged = {}  # a JSON-LD literal has no other members: one takes the place of the other
    for name, one in new.items():
        if one == NULL:
            merged.pop(name, None)
        else:
            merged[name] = _merged_value(merged.get(name), one)
    return merged


def _times(there: Instance | None, now: str) -> Instance:
    """When an instance was created and modified, whose place was taken by `there` up to now."""
    if there is None:
        return {"createdAt": now}
    return {"modifiedAt": now} | ({"createdAt": there["createdAt"]} if "createdAt" in there else {})
