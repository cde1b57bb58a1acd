"""Temporal queries and what they find (clauses 4.11, 5.7.3, 5.7.4)."""

from dataclasses import dataclass, field

from broker.core import Attributes
from broker.core.query import Query


@dataclass(frozen=True, slots=True)
class Window:
    """A temporal query (4.11): which instances, by which of their times. Instants are internal text."""

    timerel: str | None = None
    time_at: str | None = None
    end_time_at: str | None = None
    timeproperty: str = "observedAt"


@dataclass(frozen=True, slots=True)
class TemporalQuery:
    """Which evolutions (`entities`), and of them which instances: window, attributes, the last n of each."""

    entities: Query
    window: Window = Window()
    last_n: int | None = None


@dataclass(slots=True)
class Evolution:
    """The temporal evolution of one entity: its attribute instances in order of time, newest last.

    `truncated` holds the attributes of which there was more than one answer may carry.
    """

    id: str
    types: list[str]
    created_at: str
    attrs: Attributes
    deleted_at: str | None = None
    truncated: set[str] = field(default_factory=set)
