"""The instances of one attribute, as writes change them: by datasetId (clauses 4.5.5, 5.5.8)."""

from collections.abc import Iterable, Iterator, Sequence

from broker.core import Attributes, Instance
from broker.core.entity.kinds import KINDS
from broker.core.entity.values import is_null
from broker.core.uri import NULL


def is_deletion(instance: Instance) -> bool:
    """Whether the instance is an NGSI-LD Null, which deletes the one it is for."""
    return is_null(instance[KINDS[instance["type"]].value])


def replaced(
    old: Iterable[Instance], new: Iterable[Instance], now: str, *, keep: bool = True
) -> list[Instance]:
    """The instances after `new` ones came: the same datasetId replaces, a Null deletes. createdAt survives.

    Without `keep` only the new ones are left.
    """
    before = {one.get("datasetId"): one for one in old}
    standing = dict(before) if keep else {}
    for one in new:
        dataset = one.get("datasetId")
        if is_deletion(one):
            standing.pop(dataset, None)
        else:
            standing[dataset] = stamped(one, before.get(dataset), now)
    return list(standing.values())


def created_at(instance: Instance, born: str) -> str:
    """When an instance was created, in an entity that was created at `born`."""
    found: str = instance.get("createdAt", born)
    return found


def modified_at(instance: Instance, born: str) -> str:
    """When an instance was last modified, in an entity that was created at `born`."""
    found: str = instance.get("modifiedAt") or created_at(instance, born)
    return found


def stamped(instance: Instance, before: Instance | None, now: str) -> Instance:
    """A new instance with its times; `before` is the one that it replaces."""
    if before is None:
        times = {"createdAt": now}
    else:
        times = {"createdAt": before["createdAt"]} if "createdAt" in before else {}
        times["modifiedAt"] = now
    new = without_nulls({**instance, **times})
    if "attrs" in instance:
        set_attrs(new, {iri: replaced((), many, now) for iri, many in instance["attrs"].items()})
    return new


def overwritten(old: Instance, fragment: Instance, now: str) -> Instance:
    """The instance with the members of a fragment in place of its own (5.6.4)."""
    new = without_nulls({**old, **fragment, "modifiedAt": now})
    if "attrs" in fragment:
        subs = dict(old.get("attrs", {}))
        for iri, many in fragment["attrs"].items():
            subs[iri] = replaced(subs.get(iri, ()), many, now)
        set_attrs(new, subs)
    return new


def without_nulls(instance: Instance) -> Instance:
    """The instance without the members that a Null deletes."""
    return {k: v for k, v in instance.items() if v != NULL} if NULL in instance.values() else instance


def set_attrs(instance: Instance, attrs: Attributes) -> None:
    """Gives a new instance its sub-attributes, but for those that Nulls deleted."""
    instance.pop("attrs", None)
    if left := {iri: many for iri, many in attrs.items() if many}:
        instance["attrs"] = left


def of_datasets(
    attrs: Iterable[tuple[str, Sequence[Instance]]], datasets: frozenset[str]
) -> Iterator[tuple[str, list[Instance]]]:
    """The instances of these datasetIds (4.5.5), by the IRIs of their attributes; "@none" is the default."""
    for iri, instances in attrs:
        if found := [one for one in instances if one.get("datasetId", "@none") in datasets]:
            yield iri, found
