"""What clients write into the past: revisions of a temporal evolution (clauses 5.6.11 to 5.6.16).

A revision is data; `store.revisions` finds what it is about and carries it out in the commit. An instance is
replaced by one of the same datasetId and observedAt; one that was not observed is always new.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from broker.core import Attributes, Instance, Json
from broker.core.change import tombstone
from broker.core.entity import parse
from broker.core.entity.instances import is_deletion, stamped
from broker.core.entity.kinds import KINDS
from broker.core.entity.values import InstanceBudget, Reading, moment
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context

_MOST = 10_000  # instances that one revision may add: so many fit well into one transaction


@dataclass(frozen=True, slots=True)
class Addition:
    """5.6.11, 5.6.12: adds instances, and names to the types. Answers whether the evolution is new.

    `scopes` are instances whose value is a list. With `required` the evolution has to be there.
    """

    types: list[str]
    attrs: Attributes
    scopes: list[Instance] = field(default_factory=list)
    required: bool = False

    def dated(self, now: str) -> Iterator[tuple[str, Instance]]:
        """The instances as they are recorded, with the IRI of their attribute."""
        for iri, instances in self.attrs.items():
            for one in instances:
                yield iri, recorded(one, now)

    def typed(self, types: list[str]) -> list[str]:
        """The types of the evolution, with those that are new to it."""
        return [*types, *(one for one in self.types if one not in types)]


@dataclass(frozen=True, slots=True)
class AttributeDeletion:
    """5.6.13: removes the instances of one datasetId, of none unless told, or all of an attribute."""

    iri: str
    dataset: str | None = None
    delete_all: bool = False


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """5.6.14, 5.6.15: replaces the instance of this instanceId; removes it if there is no new one."""

    iri: str
    instance_id: str
    instance: Instance | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """5.6.16: removes the evolution."""


@dataclass(frozen=True, slots=True)
class Burial:
    """5.6.5 for an entity of which there is only history: records that an attribute was deleted."""

    iri: str
    dataset: str | None = None
    delete_all: bool = False


Revision = Addition | AttributeDeletion | InstanceChange | Removal | Burial


def recorded(instance: Instance, now: str) -> Instance:
    """An instance as the history holds it. A deletion took place when it was observed, if it was."""
    if not is_deletion(instance):
        return stamped(instance, None, now)
    observed = {"observedAt": instance["observedAt"]} if "observedAt" in instance else {}
    when = instance.get("observedAt") or instance.get("deletedAt") or now
    return tombstone(instance, when) | observed


def addition(doc: Json, context: Context, *, required: bool = False) -> Addition:
    """The instances that an EntityTemporal, or a fragment of one, holds (5.2.20). BadRequestData if wrong."""
    if not isinstance(doc, dict):
        raise BadRequestData("entity: expected a JSON object")
    scopes = _scopes(doc["scope"], context) if "scope" in doc else []
    spread = {name: _spread(raw) for name, raw in doc.items() if name != "scope"}
    read = parse.fragment(spread, Reading(context, past=True, room=InstanceBudget(_MOST)))
    if not required and not read.types:
        raise BadRequestData("type: expected a type name, or an array of at least one")
    return Addition(read.types, {k: v for k, v in read.attrs.items() if v}, scopes, required)


def replacement(path: str, doc: Json, context: Context) -> Instance:
    """The one instance in a fragment: by itself, or in an array under the attribute's name (5.6.14)."""
    if isinstance(doc, dict) and doc.keys() - {"id", "type"} == {path}:
        doc = doc[path]
    if isinstance(doc, list):
        if len(doc) != 1:
            raise BadRequestData(f"{path}: expected an array of exactly one instance")
        [doc] = doc
    if path == "scope":
        return _scope(doc, context)
    return parse.instance(path, doc, Reading(context, past=True))


def _scopes(raw: Json, context: Context) -> list[Instance]:
    """4.5.6: scopes as Property instances, each with its own times; or plain, as they are now."""
    many = raw if isinstance(raw, list) else [raw]
    if not any(isinstance(one, dict) for one in many):
        return [_scope({"type": "Property", "value": raw}, context)]
    return [_scope(one, context) for one in many]


def _scope(raw: Json, context: Context) -> Instance:
    if not isinstance(raw, dict) or raw.get("type", "Property") != "Property" or "value" not in raw:
        raise BadRequestData("scope: expected scopes, or Property instances whose values are scopes")
    if raw["value"] == []:
        return {"type": "Property", "value": []} | _moments(raw, "deletedAt")
    fragment = parse.fragment({"scope": raw["value"]}, Reading(context))
    return {"type": "Property", "value": fragment.members["scope"]} | _moments(raw, "observedAt")


def _moments(raw: dict[str, Json], name: str) -> Instance:
    return {name: moment(raw[name], f"scope.{name}")} if name in raw else {}


def _spread(raw: Json) -> Json:
    """Simplified temporal form (4.5.9) as instances; anything else as it is."""
    kind = KINDS.get(raw["type"]) if isinstance(raw, dict) and isinstance(raw.get("type"), str) else None
    if kind is None or kind.value in raw or not isinstance(pairs := raw.get(kind.value + "s"), list):
        return raw
    dataset = {"datasetId": raw["datasetId"]} if "datasetId" in raw else {}
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise BadRequestData(f"{kind.value}s: expected pairs of a value and its time")
    return [{"type": kind.type, kind.value: value, "observedAt": time, **dataset} for value, time in pairs]
