"""Queries of entities (5.7.2), with all names expanded and all texts parsed."""

from dataclasses import dataclass

from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang.geo import GeoQuery
from broker.core.lang.order import Ordering
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Q, attributes
from broker.core.lang.types import TypeSelection
from broker.core.selector import Selector

AFTER = "after"
"""The parameter of a page's cursor. It is an extension, which only links to pages contain."""

_ALWAYS = frozenset({NGSI_LD + "createdAt", NGSI_LD + "modifiedAt"})  # in every entity
_SYSTEM = _ALWAYS | {NGSI_LD + "deletedAt"}


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Query:
    """The conditions on entities, their order, and the page. None or empty: no condition.

    `id_pattern`: a text that `lang.pattern` compiles. `selectors`: an entity must match one of them, beside
    `types`, `ids` and `id_pattern`. `attrs`: IRIs; an entity must have at least one. `picked`: the same for
    the members that `pick` names, IRIs or "scope": an entity with none of them would be shown empty (4.21).
    `order`: the default is the order of ids. `limit` and `offset` define the page. `after`:
    a cursor, the key of the last entity of another page; this page begins behind it. `count`: whether the
    number of all matching entities is wanted. `csf`: a condition on the registrations of the sources that are
    asked, which says nothing of entities. `is_split`: whether entities may be in parts at several sources, so
    that conditions are judged on the whole only.

    Queries are equal by identity, so what is computed from a query can be cached as long as the query lives.
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
    csf: Q | None = None
    is_split: bool = False

    @property
    def required_attrs(self) -> tuple[str, ...]:
        """Attributes of which at least one must exist. Empty if `attrs` names a member of every entity."""
        return () if _ALWAYS.intersection(self.attrs) else self.attrs

    @property
    def is_too_wide(self) -> bool:
        """Whether none of the conditions is there of which 5.7.2.4 demands one (without `local=true`)."""
        has_attrs = not _SYSTEM.issuperset(self.attrs)
        has_q = self.q is not None and bool(attributes(self.q))
        return not (self.types or self.selectors or self.geo or has_attrs or has_q)
