"""Indexes that operators declare for attributes on which queries often filter (`BROKER_INDEXES`).

A filter on an attribute tests several members, one for each kind of attribute (`conditions`). So the index is
a wildcard index over all these members: it has an entry for each value that exists. An index for one type
holds only entities of this type, and serves queries that name only this type.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymongo

from broker.core.entity.kinds import KINDS
from broker.store.wire.codec import key
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenants

log = logging.getLogger(__name__)
_OURS = "declared "  # prefix of the names of these indexes
_MEMBERS = sorted({*(kind.value for kind in KINDS.values()), "observedAt", "attrs"})
_LONGEST = 3600  # seconds for the build of an index; reads and writes go on meanwhile


@dataclass(frozen=True, slots=True)
class Declared:
    """An index declared by the operator: for an attribute, of entities of one type or of all (IRIs)."""

    attr: str
    type: str | None = None

    @property
    def name(self) -> str:
        """The name of the index."""
        return _OURS + key(self.attr) + (f" of {self.type}" if self.type else "")

    @property
    def options(self) -> dict[str, Any]:
        """The options of the index beside its name."""
        paths = {f"attrs.{key(self.attr)}.{member}": 1 for member in _MEMBERS}
        only = {"partialFilterExpression": {"type": self.type}} if self.type else {}
        return {"wildcardProjection": paths, **only}


class Indexes:
    """Creates the declared indexes in each tenant, drops others. Several workers may do so concurrently."""

    def __init__(self, tenants: Tenants, declared: Sequence[Declared]) -> None:
        self._tenants = tenants
        self._declared = {index.name: index for index in declared}
        self._done: set[str] = set()

    async def make(self, tenant: str) -> None:
        """Creates the indexes of a tenant, if this process has not done so yet."""
        if tenant not in self._done:
            entities = (await self._tenants.obtain(tenant)).entities
            with reported(), pymongo.timeout(_LONGEST):
                await self._make(entities, tenant)
            self._done.add(tenant)

    async def _make(self, entities: Collection, tenant: str) -> None:
        present = {name for name in await entities.index_information() if name.startswith(_OURS)}
        for name in present - self._declared.keys():
            await entities.drop_index(name)
            log.info("an index is declared no more, and dropped", extra={"index": name, "tenant": tenant})
        for name, index in self._declared.items():
            if name not in present:
                await entities.create_index([("$**", 1)], name=name, **index.options)
                log.info("a declared index is made", extra={"index": name, "tenant": tenant})
