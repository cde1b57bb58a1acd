"""A batch of statements, by collection, that one transaction executes in a fixed order."""

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
    """The statements of a transaction.

    - `entities`: updates {q, u}, each of which must match a document; `new`: documents to insert;
    - `packed_out`, `singles_out`: keys of buckets and single instances to delete, which must exist;
    - `packed_drop`, `singles_drop`: filters of buckets and single instances to delete, if there are any;
    - `packed`, `singles`: buckets and single instances (collection `history`) to insert;
    - `changed`: updates {q, u} of single instances, which must exist;
    - `moved`: updates of the collection `moved`; `strayed`: filters of its documents to delete;
    - `pending`: documents to insert into the outbox.
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
        """Adds statements that delete all history of an entity outside its document."""
        for filters in (self.packed_drop, self.singles_drop, self.strayed):
            filters.append({"_id": of_entity(entity_id)})

    def extend(self, other: "Batch") -> None:
        """Adds the statements of another batch."""
        for member in fields(self):
            getattr(self, member.name).extend(getattr(other, member.name))

    async def write(self, session: AsyncClientSession, tenant: Tenant) -> None:
        """Executes the statements in the session's transaction; `commands.Missed` if a document changed."""
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
