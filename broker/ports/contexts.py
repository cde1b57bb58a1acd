"""The ports of compiled @contexts and of stored @contexts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core import Json
from broker.core.jsonld.context import Context


class ContextLoader(Protocol):
    """Compiles @context values."""

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        """The compiled context of an @context value.

        LdContextNotAvailable if a document that it refers to cannot be fetched; BadRequestData if it is
        invalid.
        """

    @property
    def core(self) -> Context:
        """The core context."""


CACHED, HOSTED, IMPLICIT = "Cached", "Hosted", "ImplicitlyCreated"
CONTEXT_KINDS = (CACHED, HOSTED, IMPLICIT)
ContextKey = tuple[str, str]  # the tenant of a stored @context, and its URL or local identifier


@dataclass(frozen=True, slots=True)
class StoredContext:
    """A stored @context (5.13.1). `document`: the JSON object with the member @context.

    `created`, `expires` and `used` (the last hit) are in seconds since 1970. A Cached @context belongs to no
    tenant (`tenant` is empty); its `url` is where it was fetched from.
    """

    id: str
    kind: str
    document: Json
    created: float
    tenant: str = ""
    url: str | None = None
    expires: float | None = None
    hits: int = 0
    used: float | None = None

    @property
    def key(self) -> ContextKey:
        """The key under which it is stored: (tenant, URL or local identifier)."""
        return self.tenant, self.url or self.id


class ContextStorage(Protocol):
    """The stored @contexts (5.13). When a change returns, every worker uses the new state."""

    async def add(self, tenant: str, source: Json) -> str:
        """Stores a Hosted @context and returns its local identifier.

        BadRequestData if it is no valid @context.
        """

    async def url(self, tenant: str, source: Json, root: str) -> str:
        """A URL for this @context, for a Link header.

        An @context that is one URL keeps it. Any other is stored as ImplicitlyCreated, once for each content,
        and the URL is where this broker serves it. `root`: the broker's own URL, such as
        http://localhost:1026.
        """

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """The @context with this local identifier, or the Cached one with this URL; None if there is none."""

    async def list(self, tenant: str, kind: str | None) -> Sequence[StoredContext]:
        """The @contexts that this tenant can see; `kind` limits them to one kind."""

    def note(self, context: StoredContext) -> None:
        """Counts a hit."""

    async def remove(self, context: StoredContext) -> bool:
        """Removes the @context; False if it was no longer stored."""

    async def reload(self, context: StoredContext) -> None:
        """Fetches a Cached @context again. LdContextNotAvailable if that fails; the old one then stays."""
