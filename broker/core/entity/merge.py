"""Merge patch (clauses 5.5.12, 5.6.17): merges a fragment recursively into values and sub-attributes.

The stored entity decides what the fragment means (`sent`). Merged attributes are validated at every depth.
"""

from dataclasses import dataclass
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity import geometry, parse
from broker.core.entity.instances import set_attrs, without_nulls
from broker.core.entity.kinds import GEO_ATTRIBUTES, OF_INSTANCES, SYSTEM, TYPE, Kind
from broker.core.entity.sent import Form, SentInstance, pieces
from broker.core.entity.update import Outcome, Rule, found, written
from broker.core.entity.values import ParseOptions, is_literal, value
from broker.core.errors import BadRequestData
from broker.core.uri import NULL

_DEEP = frozenset({"value", "languageMap", "json"})  # values that are merged; others are replaced


@dataclass(frozen=True, slots=True)
class Patch:
    """An Entity Fragment to be merged: attributes, types to add, and plain members (scope, expiresAt).

    `sent`: by IRI of the attribute, (name, JSON) as sent. A plain member that is `NULL` is to be deleted.
    """

    sent: dict[str, tuple[str, Json]]
    types: list[str]
    members: dict[str, Json]
    form: Form


def patch(doc: Json, form: Form) -> Patch:
    """The patch in a document. BadRequestData for errors that do not depend on the stored entity."""
    options = ParseOptions(form.context, nulls=True)
    sent = {
        parse.attribute_name(name, form.context): (name, raw)
        for name, raw in parse.named_attributes(doc, options)
    }
    return Patch(sent, parse.types(doc, form.context), parse.plain_members(doc, options), form)


def merge(entity_id: str, patch: Patch, observed_at: str | None = None) -> Rule:
    """5.6.17 Merge Entity; ResourceNotFound without the entity, BadRequestData if the result is not valid.

    `observed_at` is set on attributes of the patch that have an observedAt, if the patch gives none.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        how = _How(patch.form, ParseOptions(patch.form.context, nulls=True, deep=True), now)
        if before is None:
            _check_values(patch, how)
        entity = found(before, entity_id)
        attrs = dict(entity["attrs"])
        for iri, (name, raw) in patch.sent.items():
            attrs[iri] = _attribute(name, attrs.get(iri, []), raw, how, observed_at)
            if iri in GEO_ATTRIBUTES and any(instance["type"] != "GeoProperty" for instance in attrs[iri]):
                raise BadRequestData(f"{name}: expected a GeoProperty")
        return Outcome(written(entity, attrs, patch.types, patch.members, now))

    return rule


class _How(NamedTuple):
    """The form of the sent attributes, the options to parse their members, and the instant of the write."""

    form: Form
    options: ParseOptions
    now: str


def _check_values(patch: Patch, how: _How) -> None:
    """BadRequestData for values that are wrong for any entity; this error comes before a 404."""
    for name, raw in patch.sent.values():
        kind = parse.kind_of(raw) if isinstance(raw, dict) else None
        if kind is not None and kind.value in raw:
            _value(kind, None, raw[kind.value], f"{name}.{kind.value}", how.options)


def _attribute(
    path: str, old: list[Instance], raw: Json, how: _How, observed_at: str | None = None
) -> list[Instance]:
    """The instances of an attribute after the sent JSON (`raw`) was merged into them, by datasetId."""
    present = {instance.get("datasetId"): instance for instance in old}
    for piece in pieces(path, raw, present, how.form):
        how.options.room.take()
        stored = present.get(piece.dataset)
        merged = _merged(path, stored, piece, how)
        if merged[piece.kind.value] == NULL:
            present.pop(piece.dataset, None)
            continue
        if observed_at and stored and "observedAt" in stored and "observedAt" not in piece.members:
            merged["observedAt"] = observed_at
        present[piece.dataset] = merged
    return list(present.values())


def _merged(path: str, stored: Instance | None, piece: SentInstance, how: _How) -> Instance:
    """The merged instance; only the sent members if the stored one is of another kind. A result with the
    value `NULL` means that the instance is to be deleted.
    """
    kind, base = piece.kind, stored
    if base is not None and base["type"] != kind.type:
        base = None
    new = _read(path, piece, base, how)
    if kind.value in piece.members:
        new[kind.value] = _value(kind, base, piece.members[kind.value], f"{path}.{kind.value}", how.options)
    elif base is None:
        raise BadRequestData(f"{path}.{kind.value}: expected, since {path} becomes a {kind.type}")
    if new.get(kind.value) == NULL:
        return new
    merged = without_nulls({**(base or {}), **new, **_times(stored, how.now)})
    if path.endswith(parse.PROOF):
        parse.check_proof(path, merged[kind.value], kind)
    if "attrs" in new:
        set_attrs(merged, new["attrs"])
    return merged


def _read(path: str, piece: SentInstance, base: Instance | None, how: _How) -> Instance:
    """The sent members, without the value. If sub-attributes were sent, `attrs` has the stored ones, too."""
    new: Instance = {"type": piece.kind.type}
    for name, raw in piece.members.items():
        where = f"{path}.{name}"
        if name == piece.kind.value or name in SYSTEM or name in TYPE:
            continue
        if name in OF_INSTANCES:
            new |= parse.plain(piece.kind, name, raw, where, how.options)
        else:
            subs: Attributes = new.setdefault("attrs", dict(base.get("attrs", {})) if base else {})
            iri = parse.attribute_name(name, how.form.context, where)
            subs[iri] = _attribute(where, subs.get(iri, []), raw, how)
    return new


def _value(kind: Kind, base: Instance | None, raw: Json, path: str, options: ParseOptions) -> Json:
    new = value(kind, raw, path, options)
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
        merged = {}  # a JSON-LD literal has no other members, so it is replaced
    for name, member in new.items():
        if member == NULL:
            merged.pop(name, None)
        else:
            merged[name] = _merged_value(merged.get(name), member)
    return merged


def _times(stored: Instance | None, now: str) -> Instance:
    """createdAt and modifiedAt of an instance that replaces `stored` (None: that is new)."""
    if stored is None:
        return {"createdAt": now}
    return {"modifiedAt": now} | ({"createdAt": stored["createdAt"]} if "createdAt" in stored else {})
