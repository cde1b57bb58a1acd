"""What entities there are, by their shapes: one index entry is read for each shape, not for each entity.

An entity carries its shape, a hash of its types and of the kinds of its attributes (`codec.shape`), which an
index orders. MongoDB jumps from one shape to the next there and reads one entity of each, which says what
the hash stands for: nothing is counted up beforehand, so nothing can be out of date, and a write
that leaves the shape alone, as most do, costs nothing more. Counts are counts of index entries.
"""

from collections.abc import Collection
from typing import Any

from broker.core.discovery import Shape
from broker.store.entities.sweeper import Sweeper
from broker.store.wire import codec, commands
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenants

_SHAPED = {"shape": {"$gte": -(2**63)}}
_KINDS = {"$map": {"input": {"$objectToArray": "$attrs"}, "as": "attr", "in": ["$$attr.k", "$$attr.v.type"]}}
_SHAPES: list[dict[str, Any]] = [
    {"$match": _SHAPED},
    {"$sort": {"shape": 1}},
    {"$group": {"_id": "$shape", "type": {"$first": "$type"}, "attrs": {"$first": "$attrs"}}},
    {"$project": {"type": 1, "attrs": _KINDS}},
]


class MongoDiscovery:
    """See `ports.DiscoveryStore`. What has expired is removed before anybody looks."""

    def __init__(self, tenants: Tenants, sweeper: Sweeper, *, timeout: float) -> None:
        self._tenants = tenants
        self._sweeper = sweeper
        self._timeout_ms = round(timeout * 1000)

    async def shapes(self, tenant: str) -> list[Shape]:
        """See `ports.DiscoveryStore.shapes`."""
        handle = await self._tenants.get(tenant)
        await self._sweeper.sweep_if_due(handle)
        with reported():
            found = await commands.aggregate(handle.entities, _SHAPES, maxTimeMS=self._timeout_ms)
        return [_shape(one) for one in found if one["attrs"] is not None]

    async def count(self, tenant: str, shapes: Collection[int]) -> int:
        """See `ports.DiscoveryStore.count`."""
        if not shapes:
            return 0
        handle = await self._tenants.get(tenant)
        command = {"count": "entities", "query": {"shape": {"$in": [*shapes]}}, "maxTimeMS": self._timeout_ms}
        with reported():
            answer = await handle.entities.database.command(command, readConcern={"level": "majority"})
        return int(answer["n"])


def _shape(found: dict[str, Any]) -> Shape:
    return Shape(found["_id"], tuple(found["type"]), {codec.name(k): tuple(t) for k, t in found["attrs"]})
