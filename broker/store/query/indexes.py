"""Indexes that operators declare for attributes which queries often filter on (`BROKER_INDEXES`).

A filter on an attribute looks for a value wherever its kind may have one (`conditions`), so one index has
to cover all these places: a wildcard index, which has an entry for each value that there is and none for
those that there aren't. That of a type holds the entities of that type alone, and serves queries that name
just this type.
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
_OURS = "declared "  # how the names of these indexes begin
_MEMBERS = sorted({*(kind.value for kind in KINDS.values()), "observedAt", "attrs"})
_LONGEST = 3600  # seconds that one may take to be made; entities are read and written meanwhile


@dataclass(frozen=True, slots=True)
class Declared:
    """An attribute to index, of entities of one type or of all; IRIs."""

    attr: str
    type: str | None = None

    @property
    def name(self) -> str:
        """The name of the index."""
        return _OURS + key(self.attr) + (f" of {self.type}" if self.type else "")

    @property
    def options(self) -> dict[str, Any]:
        """What makes the index this one, beside its name."""
        paths = {f"attrs.{key(self.attr)}.{member}": 1 for member in _MEMBERS}
        only = {"partialFilterExpression": {"type": self.type}} if self.type else {}
        return {"wildcardProjection": paths, **only}


class Indexes:
    """Makes the declared indexes in every tenant, and drops those declared no more. Several workers may."""

    def __init__(self, tenants: Tenants, declared: Sequence[Declared]) -> None:
        self._tenants = tenants
        self._declared = {one.name: one for one in declared}
        self._done: set[str] = set()

    async def make(self, tenant: str) -> None:
        """Makes them in a tenant if that isn't done yet."""
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
        for name, one in self._declared.items():
            if name not in present:
                await entities.create_index([("$**", 1)], name=name, **one.options)
                log.info("a declared index is made", extra={"index": name, "tenant": tenant})
