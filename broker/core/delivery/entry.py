"""An entry: one change that is pending for some subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core import Attributes, Entity


def entry_id(rev: int, number: int, process: str) -> str:
    """The id of an entry: those of one entity sort as its revs do, and no two entries have the same.

    `number` is used once by the process, whose name has 16 characters.
    """
    return f"{rev:016x}{number:x}{process}"


@dataclass(slots=True)
class Entry:
    """One change, and the subscriptions that it has not been delivered to.

    `rev` orders the entries of an entity, and ids of one entity sort as revs do. `at`: when the change took
    place, in µs of physical time. `by`: the process that delivers it. `entity` is as `core.change.told` has
    it, and `previous` holds the attribute instances before the change, where a subscription shows them; an
    entry that is only known by name has neither. `is_report`: it is no change, but the time of a periodic
    subscription, whose id stands for the entity's; what it reports is read when it is sent. `suppressed`: the
    newest states of entities, each with its previous attributes, that throttling suppressed for one
    subscription, whose id stands for the entity's then, too. `cut`: what is missing, and why.
    """

    id: str
    tenant: str
    entity_id: str
    rev: int
    at: int
    by: str
    subscriptions: set[str]
    entity: Entity | None = None
    previous: Attributes | None = None
    is_report: bool = False
    suppressed: Sequence[tuple[Entity, Attributes | None]] = ()
    cut: str = ""

    def states(self) -> Sequence[tuple[Entity, Attributes | None]]:
        """The entities that it tells of, each with its attributes before; a report tells of none yet."""
        if self.suppressed or self.entity is None:
            return self.suppressed
        return ((self.entity, self.previous),)
