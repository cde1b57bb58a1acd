"""What one transaction writes, by collection, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.history.records import of_entity
from broker.store.wire import commands
from broker.store.wire.tenants import Tenant

Document = dict[str, Any]


@dataclass(slots=True)
class Batch:
    """Statements of a transaction.

    `entities` are updates {q, u} that have to find what they are for, `new` documents of entities. Of
    `packed` (buckets) and of `singles` (the collection `history`) there are those to be taken out by their
    keys, which have to be there, those to be dropped by filters, and those to be put in; `changed` singles
    are replaced by updates. `moved` are updates, `strayed` filters of what is to be dropped of it. `pending`
    are documents of the outbox.
    """

    entities: list[Document] = field(default_factory=list)
    new: list[Document] = field(default_factory=list)
    packed_out: list[Document] = field(default_factory=list)
    packed_drop: list[Document] = field(default_factory=list)
    packed: list[Document] = field(default_factory=list)
    singles_out: list[Document] = field(default_factory=list)
    singles_drop: list[Document] = field(default_factory=list)
    changed: list[Document] = field(default_factory=list)
    singles: list[Document] = field(default_factory=list)
    moved: list[Document] = field(default_factory=list)
    strayed: list[Document] = field(default_factory=list)
    pending: list[Mapping[str, Any]] = field(default_factory=list)

    def forget(self, entity_id: str) -> None:
        """Drops all history of an entity that lies outside its document."""
        for filters in (self.packed_drop, self.singles_drop, self.strayed):
            filters.append({"_id": of_entity(entity_id)})

    def extend(self, other: "Batch") -> None:
        """Adds all of another batch."""
        for member in fields(self):
            getattr(self, member.name).extend(getattr(other, member.name))

    async def write(self, session: AsyncClientSession, tenant: Tenant) -> None:
        """Writes all of it in the session's transaction; `commands.Missed` if something is not as it was."""
        await commands.update_each(tenant.entities, self.entities, session)
        await commands.insert(tenant.entities, self.new, session)
        await commands.delete_each(tenant.packed, self.packed_out, session)
        await commands.delete_all(tenant.packed, self.packed_drop, session)
        await commands.insert(tenant.packed, self.packed, session)
        await commands.delete_each(tenant.history, self.singles_out, session)
        await commands.delete_all(tenant.history, self.singles_drop, session)
        await commands.update_each(tenant.history, self.changed, session)
        await commands.insert(tenant.history, self.singles, session)
        await commands.delete_all(tenant.moved, self.strayed, session)
        await commands.update(tenant.moved, self.moved, session)
        await commands.insert(tenant.outbox, self.pending, session)
