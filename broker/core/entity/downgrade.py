"""Converts entities for consumers of an older version of the specification (clause 4.3.6.8).

Tables 4.3.6.8-1 to 4.3.6.8-3: newer members are left out, and newer kinds of attributes become Properties or
Relationships. A `View` with a `version` does this conversion.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from broker.core import Entity, Instance, Json
from broker.core.entity.kinds import KINDS
from broker.core.temporal import SCOPE, Evolution

Version = tuple[int, int]  # major, minor
Compacted = Callable[[Json], Json]

CURRENT: Version = (1, 9)
_OLDEST: Version = (1, 0)
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(\.\d{1,4})?", re.ASCII)
_MANY: Version = (1, 3)  # the first with several types of an entity and instances of an attribute

_ENTITY_MEMBERS: dict[str, Version] = {"scope": (1, 4), SCOPE: (1, 4), "expiresAt": (1, 9)}
_MEMBERS: dict[str, Version] = {
    "datasetId": (1, 3),
    "observedAt": (1, 3),
    "unitCode": (1, 3),
    "objectType": (1, 8),
    "valueType": (1, 9),
    "expiresAt": (1, 9),
}
_KINDS: dict[str, tuple[Version, str]] = {
    "LanguageProperty": ((1, 4), "Property"),
    "JsonProperty": ((1, 8), "Property"),
    "VocabProperty": ((1, 8), "Property"),
    "ListProperty": ((1, 8), "Property"),
    "ListRelationship": ((1, 8), "Relationship"),
}


def conformant(text: str) -> Version | None:
    """The version to which an answer conforms, for a consumer of the version in `text`; None if it is none.

    A version that is not known here counts as the nearest known one.
    """
    match = _VERSION.fullmatch(text)
    return min(CURRENT, max(_OLDEST, (int(match[1]), int(match[2])))) if match else None


def downgraded(entity: Entity, version: Version) -> Entity:
    """The entity with only the members of `version`. Its attributes are not converted: `Older` does that."""
    newer = newer_members(version)
    members = {name: member for name, member in entity.items() if name not in newer}
    return {**members, "type": _types(entity["type"], version)}


def newer_members(version: Version) -> frozenset[str]:
    """The members of entities that are newer than `version`."""
    return _newer(_ENTITY_MEMBERS, version)


def downgraded_evolution(evolution: Evolution, version: Version, compacted: Compacted) -> Evolution:
    """The evolution converted to `version`. It keeps observedAt, since an evolution needs its times."""
    older, newer = Older(version, compacted, timed=True), newer_members(version)
    return replace(
        evolution,
        types=_types(evolution.types, version),
        attrs={
            iri: older.instances(instances) for iri, instances in evolution.attrs.items() if iri not in newer
        },
        emptied={iri: older.kind(kind) for iri, kind in evolution.emptied.items()},
    )


class Older:
    """Converts instances of attributes to an older version.

    `compacted` compacts IRIs that become plain values. `timed`: observedAt is kept. `translated`:
    LanguageProperties are kept, because the language filter turns them into Properties.
    """

    def __init__(
        self, version: Version, compacted: Compacted, *, timed: bool = False, translated: bool = False
    ) -> None:
        self._version = version
        self._compacted = compacted
        self._gone = _newer(_MEMBERS, version) - ({"observedAt"} if timed else set())
        self._translated = translated

    def instances(self, instances: list[Instance]) -> list[Instance]:
        """The converted instances of one attribute. Before 1.3, only those of one datasetId."""
        if self._version < _MANY and len(instances) > 1:
            datasets = [instance.get("datasetId") for instance in instances]
            chosen = None if None in datasets else datasets[0]
            instances = [
                instance for instance, dataset in zip(instances, datasets, strict=True) if dataset == chosen
            ]
        return [*map(self._instance, instances)]

    def kind(self, kind: str) -> str:
        """The kind of attribute that replaces this one in the version."""
        if kind == "LanguageProperty" and self._translated:
            return kind
        since, nearest = _KINDS.get(kind, (_OLDEST, kind))
        return kind if self._version >= since else nearest

    def _instance(self, instance: Instance) -> Instance:
        named = instance.get("type")  # missing in a fragment
        kind = None if named is None else self.kind(named)
        shown = {name: member for name, member in instance.items() if name not in self._gone}
        if named is not None and kind is not None and kind != named:
            name = KINDS[named].value
            value = shown.pop(name)
            shown[KINDS[kind].value] = self._compacted(value) if name == "vocab" else value
            shown["type"] = kind
        if "attrs" in instance:
            shown["attrs"] = {iri: self.instances(instances) for iri, instances in instance["attrs"].items()}
        return shown


def _newer(since: dict[str, Version], version: Version) -> frozenset[str]:
    return frozenset(name for name, introduced in since.items() if version < introduced)


def _types(types: list[str], version: Version) -> list[str]:
    return types if version >= _MANY else types[:1]
