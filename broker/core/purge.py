"""What a purge deletes (clause 5.6.21): whole entities, or attributes of them."""

from dataclasses import dataclass

from broker.core.query import Query


@dataclass(frozen=True, slots=True)
class Purge:
    """A purge of the entities that match a query.

    `drop`: only these attributes (IRIs) are deleted. `keep`: all attributes but these. None, both: the
    entities as a whole.
    """

    query: Query
    drop: frozenset[str] | None = None
    keep: frozenset[str] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether entities are deleted as a whole."""
        return self.drop is None and self.keep is None

    def deletes(self, iri: str) -> bool:
        """Whether an attribute is deleted."""
        return iri in self.drop if self.drop is not None else self.keep is None or iri not in self.keep
