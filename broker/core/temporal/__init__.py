"""Temporal queries and their results, evolutions (clauses 4.5.6 to 4.5.9, 4.11, 5.7.3, 5.7.4)."""

from dataclasses import dataclass, field

from broker.core import Attributes
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang.projection import Projection
from broker.core.query import Query
from broker.core.temporal.aggregation import Aggregate, Aggregation
from broker.core.temporal.window import BY_WRITE, Window

__all__ = ["SCOPE", "Evolution", "TemporalQuery", "Window"]

# An Evolution holds the scopes under this name, as instances whose value is a list of scopes.
SCOPE = NGSI_LD + "scope"


@dataclass(frozen=True, slots=True)
class TemporalQuery:
    """A query of evolutions: which entities (`entities`), and which of their instances.

    `window`: without one, all instances are selected, whatever times they have. `last_n`: only the instances
    of the last n times. `sys_attrs`: whether system attributes are shown. `datasets`: only instances of these
    datasetIds (None: without datasetId); empty: all. `aggregation`: aggregates are returned, not instances.
    `pick` and `omit`: the members that are shown (4.21); `pick` selects the attributes of the query, too.
    """

    entities: Query
    window: Window | None = None
    last_n: int | None = None
    sys_attrs: bool = False
    datasets: tuple[str | None, ...] = ()
    aggregation: Aggregation | None = None
    pick: Projection | None = None
    omit: Projection | None = None

    def is_judged(self, name: str) -> bool:
        """Whether instances of an attribute (IRI, or SCOPE) make an entity part of the result."""
        if self.entities.attrs:
            return name in self.entities.attrs
        return self.pick is None or self.is_bare or _member(name) in self.pick

    def is_shown(self, name: str) -> bool:
        """Whether the instances of an attribute (IRI, or SCOPE) are shown in the answer."""
        omitted = self.omit is not None and self.omit.is_whole(_member(name))
        return self.is_judged(name) and not self.is_bare and not omitted

    @property
    def named(self) -> tuple[str, ...]:
        """The attributes (IRIs) that the query names."""
        picked = () if self.pick is None else (iri for iri, _ in self.pick.attrs)
        return (*self.entities.attrs, *picked)

    @property
    def is_bare(self) -> bool:
        """Whether neither attributes nor the scope are shown, but only other members of the entity."""
        return self.pick is not None and not self.pick.attrs and "scope" not in self.pick.members

    @property
    def is_selective(self) -> bool:
        """Whether an entity must have a selected instance to be part of the result."""
        of_parts = self.window is not None or self.pick is not None
        return of_parts or bool(self.entities.attrs) or bool(self.datasets)

    @property
    def is_stamped(self) -> bool:
        """Whether the times of the write are needed, also of instances with an observedAt."""
        return self.sys_attrs or (self.window is not None and self.window.timeproperty in BY_WRITE)

    @property
    def is_backwards(self) -> bool:
        """Whether the newest instances come first and the oldest ones are cut off (lastN, 6.3.10)."""
        return self.last_n is not None


def _member(name: str) -> str:
    return "scope" if name == SCOPE else name


@dataclass(slots=True)
class Evolution:
    """The temporal evolution of one entity: its attribute instances in the order of the query.

    Instances have an `instanceId`; several may have the same datasetId. `truncated`: the attributes (IRIs)
    that have more instances than one answer may hold. `emptied`: attributes (IRI -> kind) without instances
    because the answer ends before their first one (`page`). `aggregates`: by IRI, the aggregates instead of
    instances.
    """

    id: str
    types: list[str]
    created_at: str
    attrs: Attributes
    modified_at: str | None = None
    deleted_at: str | None = None
    truncated: set[str] = field(default_factory=set)
    emptied: dict[str, str] = field(default_factory=dict)
    aggregates: dict[str, list[Aggregate]] = field(default_factory=dict)
