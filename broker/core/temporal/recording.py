"""Recording: which changes of entities become history. The operator configures it."""

from dataclasses import dataclass

from broker.core.change import Change


@dataclass(frozen=True, slots=True)
class Recording:
    """`unrecorded`: types (IRIs) without history. `deletes_history`: that of a deleted entity, too."""

    unrecorded: frozenset[str] = frozenset()
    deletes_history: bool = False

    def covers(self, change: Change) -> bool:
        """Whether the change is recorded: not if any type of the entity is in `unrecorded`."""
        return self.unrecorded.isdisjoint(change.entity["type"])
