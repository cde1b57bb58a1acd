"""Discovery of types and attributes (clause 5.7.5 to 5.7.10), by the shapes of entities.

A stored entity has its `shape`, a hash of its types, attributes and their kinds (`codec.shape`), and an
index on it. MongoDB skips in the index from one shape to the next and reads one entity of each, which shows
the types and kinds behind the hash. So the cost depends on the number of shapes, not of entities. No counters
are stored: nothing can be out of date, and a write that keeps the shape, as most do, has no extra cost.
Counts are counts of index entries.
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
    """See `ports.DiscoveryStore`. Removes expired entities before it reads."""

    def __init__(self, tenants: Tenants, sweeper: Sweeper, *, timeout: float) -> None:
        self._tenants = tenants
        self._sweeper = sweeper
        self._timeout_ms = round(timeout * 1000)

    async def shapes(self, tenant: str) -> list[Shape]:
        """See `ports.DiscoveryStore.shapes`."""
        handle = await self._tenants.get(tenant)
        await self._sweeper.sweep_if_due(handle)
        with reported():
            examples = await commands.aggregate(handle.entities, _SHAPES, maxTimeMS=self._timeout_ms)
        return [_shape(example) for example in examples if example["attrs"] is not None]

    async def count(self, tenant: str, shapes: Collection[int]) -> int:
        """See `ports.DiscoveryStore.count`."""
        if not shapes:
            return 0
        handle = await self._tenants.get(tenant)
        command = {"count": "entities", "query": {"shape": {"$in": [*shapes]}}, "maxTimeMS": self._timeout_ms}
        with reported():
            answer = await handle.entities.database.command(command, readConcern={"level": "majority"})
        return int(answer["n"])


def _shape(example: dict[str, Any]) -> Shape:
    kinds = {codec.name(key): tuple(of_attr) for key, of_attr in example["attrs"]}
    return Shape(example["_id"], tuple(example["type"]), kinds)
