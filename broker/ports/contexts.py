"""@contexts: compiled, and stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core import Json
from broker.core.jsonld.context import Context


class ContextLoader(Protocol):
    """@contexts, compiled."""

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        """The context of an @context value; LdContextNotAvailable or BadRequestData if it cannot be had."""

    @property
    def core(self) -> Context:
        """The core context alone."""


CACHED, HOSTED, IMPLICIT = "Cached", "Hosted", "ImplicitlyCreated"
CONTEXT_KINDS = (CACHED, HOSTED, IMPLICIT)
ContextKey = tuple[str, str]  # the tenant of a stored @context, and its URL or local identifier


@dataclass(frozen=True, slots=True)
class StoredContext:
    """An @context in the storage (5.13.1), and the JSON object that holds it; times in seconds since 1970.

    A Cached one is of no tenant, and has the `url` that it was fetched from.
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
        """What it is found by."""
        return self.tenant, self.url or self.id


class ContextStorage(Protocol):
    """The @contexts that the broker stores (5.13). What is changed here, every worker knows at once."""

    async def add(self, tenant: str, source: Json) -> str:
        """Stores a Hosted one; its local identifier. BadRequestData if it is no @context."""

    async def url(self, tenant: str, source: Json, root: str) -> str:
        """A URL that stands for this @context, under which this broker serves it if nobody else does.

        That of a single URL is itself; otherwise an ImplicitlyCreated one is stored, once for each content.
        `root` is the broker's own URL, such as http://localhost:1026.
        """

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """The one of this local identifier, or of this URL if it is Cached."""

    async def list(self, tenant: str, kind: str | None) -> Sequence[StoredContext]:
        """All that this tenant sees, of one kind if that is given."""

    def note(self, one: StoredContext) -> None:
        """Counts a hit."""

    async def remove(self, one: StoredContext) -> bool:
        """Removes one; False if it is gone already."""

    async def reload(self, one: StoredContext) -> None:
        """Fetches a Cached one anew; LdContextNotAvailable if that fails, and all stays as it was."""
