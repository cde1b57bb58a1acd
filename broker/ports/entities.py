"""Entities, what they have in common, and their history."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from broker.core import Entity
from broker.core.discovery import Shape
from broker.core.entity.update import Rule
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.revision import Revision

Item = TypeVar("Item")


class Undecodable(Exception):
    """A stored entity that this version cannot read: damaged, or written by something else."""

    def __init__(self, entity_id: object) -> None:
        super().__init__(f"the stored entity {entity_id} cannot be decoded")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Renderer:
    """How entities are shown, as bytes: none if nothing is to be shown.

    It makes the same of the same entity each time, so what it made is remembered for it, and no other.
    """

    render: Callable[[Entity], bytes]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a query. If there is `more`, `after` is its key, which has the next one begin behind it.

    There is none where it would be longer than a URL may be.
    """

    items: Sequence[Item]
    more: bool = False
    after: str | None = None


class EntityStore(Protocol):
    """Entities, and every write to them."""

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """An entity; Undecodable if it cannot be read, which is nobody's affair who reads others."""

    async def show(self, tenant: str, entity_id: str, renderer: Renderer) -> bytes | None:
        """An entity as the renderer shows it; Undecodable as in `get`."""

    async def show_page(self, tenant: str, query: Query, renderer: Renderer) -> Page[bytes]:
        """One page as the renderer shows it, without what it does not show."""

    async def find(self, tenant: str, query: Query) -> Page[Entity]:
        """One page, without what cannot be decoded. BadRequestData if `query.after` is no page's key."""

    async def count(self, tenant: str, query: Query) -> int: ...

    async def known(self, tenant: str) -> None:
        """NonexistentTenant if nothing was ever written for this tenant."""

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """Applies the rule and returns its answer once change, history and what is due are durable.

        A revision changes the history of the entity and nothing else.
        """

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """Applies each rule, in order; for each its answer or the exception it failed with."""


class DiscoveryStore(Protocol):
    """What entities there are, by what they have in common."""

    async def shapes(self, tenant: str) -> list[Shape]:
        """Every shape that an entity has now."""

    async def count(self, tenant: str, shapes: Collection[int]) -> int:
        """How many entities are of these shapes, by their ids."""


class TemporalStore(Protocol):
    """The history of entities."""

    async def evolution(self, tenant: str, entity_id: str, query: TemporalQuery) -> Evolution | None: ...

    async def evolutions(self, tenant: str, query: TemporalQuery) -> list[Evolution]: ...

    async def count(self, tenant: str, query: TemporalQuery) -> int: ...
