"""The instances of one attribute, and how writes change them, by datasetId (clauses 4.5.5, 5.5.8)."""

from collections.abc import Iterable, Iterator, Sequence

from broker.core import Attributes, Instance
from broker.core.entity.kinds import KINDS
from broker.core.entity.values import is_null
from broker.core.uri import NULL


def is_deletion(instance: Instance) -> bool:
    """Whether the instance is an NGSI-LD Null, which deletes the instance of its datasetId."""
    return is_null(instance[KINDS[instance["type"]].value])


def replaced(
    old: Iterable[Instance], new: Iterable[Instance], now: str, *, keep: bool = True
) -> list[Instance]:
    """The instances of an attribute after a write of `new` ones, which replace those of their datasetIds.

    A Null deletes; a replacement keeps createdAt. `keep`: whether the other old instances stay.
    """
    before = {instance.get("datasetId"): instance for instance in old}
    remaining = dict(before) if keep else {}
    for instance in new:
        dataset = instance.get("datasetId")
        if is_deletion(instance):
            remaining.pop(dataset, None)
        else:
            remaining[dataset] = stamped(instance, before.get(dataset), now)
    return list(remaining.values())


def created_at(instance: Instance, born: str) -> str:
    """The createdAt of an instance; that of the entity (`born`) if it was created together with it."""
    created: str = instance.get("createdAt", born)
    return created


def modified_at(instance: Instance, born: str) -> str:
    """The modifiedAt of an instance; if it was never modified, its createdAt. `born` as in `created_at`."""
    modified: str = instance.get("modifiedAt") or created_at(instance, born)
    return modified


def stamped(instance: Instance, before: Instance | None, now: str) -> Instance:
    """A new instance with createdAt or modifiedAt. `before`: the instance that it replaces, if any."""
    if before is None:
        times = {"createdAt": now}
    else:
        times = {"createdAt": before["createdAt"]} if "createdAt" in before else {}
        times["modifiedAt"] = now
    new = without_nulls({**instance, **times})
    if "attrs" in instance:
        set_attrs(new, {iri: replaced((), subs, now) for iri, subs in instance["attrs"].items()})
    return new


def overwritten(old: Instance, fragment: Instance, now: str) -> Instance:
    """The instance after the members of a fragment overwrote its own (5.6.4)."""
    new = without_nulls({**old, **fragment, "modifiedAt": now})
    if "attrs" in fragment:
        subs = dict(old.get("attrs", {}))
        for iri, instances in fragment["attrs"].items():
            subs[iri] = replaced(subs.get(iri, ()), instances, now)
        set_attrs(new, subs)
    return new


def without_nulls(instance: Instance) -> Instance:
    """The instance without the members whose value is a Null."""
    return {k: v for k, v in instance.items() if v != NULL} if NULL in instance.values() else instance


def set_attrs(instance: Instance, attrs: Attributes) -> None:
    """Sets the sub-attributes of a new instance, without those that have no instances left."""
    instance.pop("attrs", None)
    if remaining := {iri: instances for iri, instances in attrs.items() if instances}:
        instance["attrs"] = remaining


def of_datasets(
    attrs: Iterable[tuple[str, Sequence[Instance]]], datasets: frozenset[str]
) -> Iterator[tuple[str, list[Instance]]]:
    """Yields (IRI, instances of these datasetIds) where there are any (4.5.5); "@none": the default one."""
    for iri, instances in attrs:
        if selected := [instance for instance in instances if instance.get("datasetId", "@none") in datasets]:
            yield iri, selected
