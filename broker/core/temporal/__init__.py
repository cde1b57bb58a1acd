"""Temporal queries and what they find (clauses 4.5.6 to 4.5.9, 4.11, 5.7.3, 5.7.4)."""

from dataclasses import dataclass, field

from broker.core import Attributes
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang.projection import Projection
from broker.core.query import Query
from broker.core.temporal.aggregation import Aggregate, Aggregation
from broker.core.temporal.window import BY_WRITE, Window

__all__ = ["SCOPE", "Evolution", "TemporalQuery", "Window"]

# An Evolution holds the scopes under this name, as instances whose value is a list.
SCOPE = NGSI_LD + "scope"


@dataclass(frozen=True, slots=True)
class TemporalQuery:
    """Which evolutions (`entities`), and of them which instances: window, attributes, the last n times.

    Without a window every instance is wanted, whatever times it has. `sys_attrs`: the system attributes of
    the entity and of its instances are wanted, too. `datasets`: of these datasetIds only, None among them
    for no datasetId. `aggregation`: no instances are wanted, but what they aggregate to. `pick` and `omit`
    (4.21) say which members are shown; pick, which attributes it is about, too.
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
        """Whether instances of an attribute (IRI, or SCOPE) count when it comes to whether there are any."""
        if self.entities.attrs:
            return name in self.entities.attrs
        return self.pick is None or self.is_bare or _member(name) in self.pick

    def is_shown(self, name: str) -> bool:
        """Whether the instances of an attribute (IRI, or SCOPE) are part of the answer."""
        omitted = self.omit is not None and self.omit.is_whole(_member(name))
        return self.is_judged(name) and not self.is_bare and not omitted

    @property
    def named(self) -> tuple[str, ...]:
        """The attributes (IRIs) that are asked for by their names."""
        picked = () if self.pick is None else (iri for iri, _ in self.pick.attrs)
        return (*self.entities.attrs, *picked)

    @property
    def is_bare(self) -> bool:
        """Whether neither attributes nor the scope are to be shown, only what else an entity has."""
        return self.pick is not None and not self.pick.attrs and "scope" not in self.pick.members

    @property
    def is_selective(self) -> bool:
        """Whether an entity without any instance that is asked for is none that is asked for."""
        of_parts = self.window is not None or self.pick is not None
        return of_parts or bool(self.entities.attrs) or bool(self.datasets)

    @property
    def is_stamped(self) -> bool:
        """Whether instances have to say when they were written, even those with an observedAt."""
        return self.sys_attrs or (self.window is not None and self.window.timeproperty in BY_WRITE)

    @property
    def is_backwards(self) -> bool:
        """Whether the newest instances come first, and what does not fit is left out (6.3.10)."""
        return self.last_n is not None


def _member(name: str) -> str:
    return "scope" if name == SCOPE else name


@dataclass(slots=True)
class Evolution:
    """The temporal evolution of one entity: its attribute instances in the order that the query asks for.

    Instances carry an `instanceId`, and there may be many of one datasetId. `truncated` holds the
    attributes of which there was more than one answer may carry; `emptied` the kinds of those (by IRI) that
    are empty only because the answer had to end before their first instance (`page`). `aggregates` hold what
    instances aggregate to, in place of them.
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
