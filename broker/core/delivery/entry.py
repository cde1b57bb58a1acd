"""An entry: one change that is pending for some subscriptions."""

from dataclasses import dataclass

from broker.core import Attributes, Entity


@dataclass(slots=True)
class Entry:
    """One change, and the subscriptions that it has not been delivered to.

    `rev` orders the entries of an entity, and ids of one entity sort as revs do. `at`: when the change took
    place, in µs of physical time. `by`: the process that delivers it. `entity` is as `core.change.told` has
    it, and `previous` holds the attribute instances before the change, where a subscription shows them; an
    entry that is only known by name has neither. `is_report`: it is no change, but the time of a periodic
    subscription, whose id stands for the entity's; what it reports is read when it is sent.
    """

    id: str
    tenant: str
    entity_id: str
    rev: int
    at: int
    by: str
    due: set[str]
    entity: Entity | None = None
    previous: Attributes | None = None
    is_report: bool = False
