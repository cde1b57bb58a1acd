"""The stores of entities, of their types and attributes (discovery), and of their history."""

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
    """A stored entity that this version cannot decode: damaged, or written by another program."""

    def __init__(self, entity_id: object) -> None:
        super().__init__(f"the stored entity {entity_id} cannot be decoded")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Renderer:
    """Turns an entity into the bytes of one representation; empty if the representation leaves nothing of it.

    The result depends on the entity alone, so the store caches it by revision and renderer; renderers compare
    by identity.
    """

    render: Callable[[Entity], bytes]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a query. `more`: another page follows.

    `after`: the cursor of the next page, its `Query.after`; None if there is no next page, or if the cursor
    would be too long for a URL.
    """

    items: Sequence[Item]
    more: bool = False
    after: str | None = None


class EntityStore(Protocol):
    """Reads of entities, and all writes to entities and their history."""

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """The entity; None if there is none. Undecodable if it cannot be decoded; other reads go on."""

    async def show(self, tenant: str, entity_id: str, renderer: Renderer) -> bytes | None:
        """The entity as the renderer shows it; None if there is none. Undecodable as in `get`."""

    async def show_page(self, tenant: str, query: Query, renderer: Renderer) -> Page[bytes]:
        """One page of `find`, as the renderer shows it, without entities of which it shows nothing."""

    async def find(self, tenant: str, query: Query) -> Page[Entity]:
        """One page, without entities that cannot be decoded. BadRequestData if `query.after` is no cursor."""

    async def count(self, tenant: str, query: Query) -> int:
        """The number of entities that match, on all pages."""

    async def known(self, tenant: str) -> None:
        """Returns if the tenant exists; NonexistentTenant if nothing was ever written for it."""

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """Applies a rule to an entity; returns the rule's result once all is durable.

        The state, its history and the pending entries are committed together. A `Revision` changes the
        history alone. Raises what the rule raises; Unavailable if the queue is full or the commit takes too
        long.
        """

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """Applies the rules in order. Returns for each its result, or the exception with which it failed."""


class DiscoveryStore(Protocol):
    """The types and attributes in use, by the shapes of the stored entities."""

    async def shapes(self, tenant: str) -> list[Shape]:
        """The shapes of all entities that are stored now."""

    async def count(self, tenant: str, shapes: Collection[int]) -> int:
        """The number of entities that have one of these shapes (by shape id)."""


class TemporalStore(Protocol):
    """The history of entities."""

    async def evolution(self, tenant: str, entity_id: str, query: TemporalQuery) -> Evolution | None:
        """The evolution of one entity; None if it has none, or no instance that matches."""

    async def evolutions(self, tenant: str, query: TemporalQuery) -> list[Evolution]:
        """One page of the evolutions that match."""

    async def count(self, tenant: str, query: TemporalQuery) -> int:
        """The number of evolutions that match, on all pages."""
