"""What a client selects entities by (5.7.2), with all names expanded and every text parsed."""

from dataclasses import dataclass

from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang.geo import GeoQuery
from broker.core.lang.order import Ordering
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Q, attributes
from broker.core.lang.types import TypeSelection
from broker.core.selector import Selector

_ALWAYS = frozenset({NGSI_LD + "createdAt", NGSI_LD + "modifiedAt"})  # in every entity
_SYSTEM = _ALWAYS | {NGSI_LD + "deletedAt"}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Query:
    """A selection of entities, and which part of it is wanted. What is None or empty asks for nothing.

    Beside `types`, `ids` and `id_pattern` there may be `selectors`, any of which an entity has to match.
    `attrs` are IRIs, of which an entity must have at least one, and so are `picked`, of which the scope may
    be one, too: without any nothing of the entity would be left to show (4.21). `id_pattern` is a text that
    `lang.pattern` compiles; entities come in the order `order`, or else of their ids. `limit` and `offset`
    are of the page; if there is `after`, the key of another page, it begins behind that one, wherever this
    is. `count` asks for the full count. Queries are told apart by identity: what is worked out of one is
    remembered as long as the query itself is.
    """

    types: TypeSelection | None = None
    ids: tuple[str, ...] = ()
    id_pattern: str | None = None
    selectors: tuple[Selector, ...] = ()
    attrs: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()
    q: Q | None = None
    scope: ScopeQuery | None = None
    geo: GeoQuery | None = None
    order: Ordering | None = None
    limit: int = 20
    offset: int = 0
    count: bool = False
    after: str | None = None

    @property
    def required_attrs(self) -> tuple[str, ...]:
        """The attributes of which one must be there: none if one is named that every entity has."""
        return () if _ALWAYS.intersection(self.attrs) else self.attrs

    @property
    def is_too_wide(self) -> bool:
        """Whether it lacks every selector of 5.7.2.4, but for `local=true`."""
        has_attrs = not _SYSTEM.issuperset(self.attrs)
        has_q = self.q is not None and bool(attributes(self.q))
        return not (self.types or self.selectors or self.geo or has_attrs or has_q)
