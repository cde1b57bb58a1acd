"""An entry: one change that is pending for some subscriptions."""

from collections.abc import Sequence
from dataclasses import dataclass

from broker.core import Attributes, Entity


def entry_id(rev: int, number: int, process: str) -> str:
    """The id of an entry. Ids are unique, and the ids of one entity sort as its revisions do.

    `number` is used once by the process, whose name has 16 characters.
    """
    return f"{rev:016x}{number:x}{process}"


@dataclass(slots=True)
class Entry:
    """One change, and the subscriptions for which it is not over.

    - `rev` orders the entries of one entity. `at`: when the change took place, in µs of physical time.
    - `by`: the process that delivers it.
    - `entity`: the state after the change, as `core.change.with_tombstones` returns it. `previous`: the
      attribute instances before the change, if a subscription shows them. An entry that was read without
      its payload has neither.
    - `is_report`: the entry is no change, but one firing of a periodic subscription. What the report holds is
      read when it is sent.
    - `suppressed`: the newest states that throttling suppressed for one subscription, as pairs (entity,
      previous attribute instances).
    - `cut`: what is missing in the payload, and why; "" if nothing is.

    In a report, and in an entry of suppressed states, the subscription's id stands for the entity's id.
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
        """The entities to notify of, as pairs (entity, previous attribute instances)."""
        if self.suppressed or self.entity is None:
            return self.suppressed
        return ((self.entity, self.previous),)
