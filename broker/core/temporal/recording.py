"""Which changes of entities become history: the operator's choice."""

from dataclasses import dataclass

from broker.core.change import Change


@dataclass(frozen=True, slots=True)
class Recording:
    """`unrecorded`: types (IRIs) without a history. `forgets`: the history goes with the entity."""

    unrecorded: frozenset[str] = frozenset()
    forgets: bool = False

    def covers(self, change: Change) -> bool:
        """Whether the change is to be recorded: not if any type of the entity is left out."""
        return self.unrecorded.isdisjoint(change.entity["type"])
