"""Revisions: changes that clients make to a temporal evolution, the past (clauses 5.6.11 to 5.6.16).

A revision is data; `store.writes.revisions` applies it in the commit. An added instance replaces one of the
same datasetId and observedAt; an instance without observedAt is always new.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.core import Attributes, Instance, Json
from broker.core.change import tombstone
from broker.core.entity import parse
from broker.core.entity.instances import is_deletion, stamped
from broker.core.entity.kinds import KINDS
from broker.core.entity.values import InstanceBudget, ParseOptions, moment
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context

_MOST = 10_000  # instances that one revision may add, so that they fit into one transaction


@dataclass(frozen=True, slots=True)
class Addition:
    """5.6.11, 5.6.12: adds instances and types. Answers whether the evolution is new.

    `scopes`: instances whose value is a list of scopes. `required`: whether the evolution must exist.
    """

    types: list[str]
    attrs: Attributes
    scopes: list[Instance] = field(default_factory=list)
    required: bool = False

    def dated(self, now: str) -> Iterator[tuple[str, Instance]]:
        """Yields (IRI of the attribute, instance as recorded) for each instance to add."""
        for iri, instances in self.attrs.items():
            for instance in instances:
                yield iri, recorded(instance, now)

    def typed(self, types: list[str]) -> list[str]:
        """The given types of the evolution and those that the revision adds."""
        return [*types, *(iri for iri in self.types if iri not in types)]


@dataclass(frozen=True, slots=True)
class AttributeDeletion:
    """5.6.13: removes the instances of one datasetId (None: without one), or all of an attribute."""

    iri: str
    dataset: str | None = None
    delete_all: bool = False


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """5.6.14, 5.6.15: replaces the instance of this instanceId, or removes it if `instance` is None."""

    iri: str
    instance_id: str
    instance: Instance | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """5.6.16: removes the evolution."""


@dataclass(frozen=True, slots=True)
class Burial:
    """5.6.5 for an entity that has only a history: records the deletion of an attribute."""

    iri: str
    dataset: str | None = None
    delete_all: bool = False


Revision = Addition | AttributeDeletion | InstanceChange | Removal | Burial


def recorded(instance: Instance, now: str) -> Instance:
    """An instance as the history holds it. A deletion has its observedAt as deletedAt, if it has one."""
    if not is_deletion(instance):
        return stamped(instance, None, now)
    observed = {"observedAt": instance["observedAt"]} if "observedAt" in instance else {}
    deleted_at = instance.get("observedAt") or instance.get("deletedAt") or now
    return tombstone(instance, deleted_at) | observed


def addition(doc: Json, context: Context, *, required: bool = False) -> Addition:
    """The addition of an EntityTemporal or a fragment of one (5.2.20). BadRequestData if it is not valid."""
    if not isinstance(doc, dict):
        raise BadRequestData("entity: expected a JSON object")
    scopes = _scopes(doc["scope"], context) if "scope" in doc else []
    spread = {name: _spread(raw) for name, raw in doc.items() if name != "scope"}
    draft = parse.fragment(spread, ParseOptions(context, past=True, room=InstanceBudget(_MOST)))
    if not required and not draft.types:
        raise BadRequestData("type: expected a type name, or an array of at least one")
    return Addition(draft.types, {k: v for k, v in draft.attrs.items() if v}, scopes, required)


def replacement(path: str, doc: Json, context: Context) -> Instance:
    """The instance in a fragment: alone, or as the only item of an array under the attribute's name (5.6.14).

    BadRequestData if it is not valid.
    """
    if isinstance(doc, dict) and doc.keys() - {"id", "type"} == {path}:
        doc = doc[path]
    if isinstance(doc, list):
        if len(doc) != 1:
            raise BadRequestData(f"{path}: expected an array of exactly one instance")
        [doc] = doc
    if path == "scope":
        return _scope(doc, context)
    return parse.instance(path, doc, ParseOptions(context, past=True))


def _scopes(raw: Json, context: Context) -> list[Instance]:
    """4.5.6: scopes as Property instances, each with its times; or plain, as the present scopes."""
    items = raw if isinstance(raw, list) else [raw]
    if not any(isinstance(item, dict) for item in items):
        return [_scope({"type": "Property", "value": raw}, context)]
    return [_scope(item, context) for item in items]


def _scope(raw: Json, context: Context) -> Instance:
    if not isinstance(raw, dict) or raw.get("type", "Property") != "Property" or "value" not in raw:
        raise BadRequestData("scope: expected scopes, or Property instances whose values are scopes")
    if raw["value"] == []:
        return {"type": "Property", "value": []} | _moments(raw, "deletedAt")
    fragment = parse.fragment({"scope": raw["value"]}, ParseOptions(context))
    return {"type": "Property", "value": fragment.members["scope"]} | _moments(raw, "observedAt")


def _moments(raw: dict[str, Json], name: str) -> Instance:
    return {name: moment(raw[name], f"scope.{name}")} if name in raw else {}


def _spread(raw: Json) -> Json:
    """JSON in simplified temporal form (4.5.9) as a list of instances; other JSON unchanged."""
    kind = KINDS.get(raw["type"]) if isinstance(raw, dict) and isinstance(raw.get("type"), str) else None
    if kind is None or kind.value in raw or not isinstance(pairs := raw.get(kind.value + "s"), list):
        return raw
    dataset = {"datasetId": raw["datasetId"]} if "datasetId" in raw else {}
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRequestData(f"{kind.value}s: expected pairs of a value and its time")
    return [{"type": kind.type, kind.value: value, "observedAt": time, **dataset} for value, time in pairs]
