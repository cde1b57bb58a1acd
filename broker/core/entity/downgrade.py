"""Entities for consumers that know only an older version of the specification (clause 4.3.6.8).

Tables 4.3.6.8-1 to 4.3.6.8-3: members that are newer than the version are left out, kinds of attribute that
are newer become the Property or Relationship that comes nearest. `View.version` makes every view do so.
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
_MANY: Version = (1, 3)  # since when there are several types of an entity and instances of an attribute

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
    """The version that our answer conforms to, for a consumer of this one; None if the text is no version.

    Versions that we don't know of are taken for the nearest one that we do.
    """
    found = _VERSION.fullmatch(text)
    return min(CURRENT, max(_OLDEST, (int(found[1]), int(found[2])))) if found else None


def downgraded(entity: Entity, version: Version) -> Entity:
    """The entity with the members that `version` knows; its attributes are as they were (`Older`)."""
    gone = _newer(_ENTITY_MEMBERS, version)
    known = {name: member for name, member in entity.items() if name not in gone}
    return {**known, "type": _types(entity["type"], version)}


def downgraded_evolution(evolution: Evolution, version: Version, compacted: Compacted) -> Evolution:
    """The evolution as `version` knows it. It keeps observedAt, without which it would be none."""
    older, gone = Older(version, compacted, timed=True), _newer(_ENTITY_MEMBERS, version)
    return replace(
        evolution,
        types=_types(evolution.types, version),
        attrs={iri: older.instances(many) for iri, many in evolution.attrs.items() if iri not in gone},
        emptied={iri: older.kind(kind) for iri, kind in evolution.emptied.items()},
    )


class Older:
    """How a version has the instances of attributes.

    `compacted` makes names of the IRIs that become plain values. `timed`: observedAt stays in any case;
    `translated`: LanguageProperties stay, since the language filter makes Properties of them.
    """

    def __init__(
        self, version: Version, compacted: Compacted, *, timed: bool = False, translated: bool = False
    ) -> None:
        self._version = version
        self._compacted = compacted
        self._gone = _newer(_MEMBERS, version) - ({"observedAt"} if timed else set())
        self._translated = translated

    def instances(self, many: list[Instance]) -> list[Instance]:
        """The instances of one attribute. In 1.0 of one datasetId: the default, if it is there."""
        if self._version < _MANY and len(many) > 1:
            datasets = [one.get("datasetId") for one in many]
            chosen = None if None in datasets else datasets[0]
            many = [one for one, dataset in zip(many, datasets, strict=True) if dataset == chosen]
        return [*map(self._instance, many)]

    def kind(self, kind: str) -> str:
        """The kind of attribute that takes the place of this one."""
        if kind == "LanguageProperty" and self._translated:
            return kind
        since, nearest = _KINDS.get(kind, (_OLDEST, kind))
        return kind if self._version >= since else nearest

    def _instance(self, one: Instance) -> Instance:
        kind = self.kind(one["type"])
        shown = {name: member for name, member in one.items() if name not in self._gone}
        if kind != one["type"]:
            name = KINDS[one["type"]].value
            value = shown.pop(name)
            shown[KINDS[kind].value] = self._compacted(value) if name == "vocab" else value
            shown["type"] = kind
        if "attrs" in one:
            shown["attrs"] = {iri: self.instances(many) for iri, many in one["attrs"].items()}
        return shown


def _newer(since: dict[str, Version], version: Version) -> frozenset[str]:
    return frozenset(name for name, introduced in since.items() if version < introduced)


def _types(types: list[str], version: Version) -> list[str]:
    return types if version >= _MANY else types[:1]
