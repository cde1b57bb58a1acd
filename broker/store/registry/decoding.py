"""Decodes stored definitions. One that is damaged must not keep a process from reading the others."""

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

log = logging.getLogger(__name__)
Document = dict[str, Any]
Definition = TypeVar("Definition")


def decoded(
    documents: Iterable[Document], decode: Callable[[Document], Definition], kind: str
) -> list[Definition]:
    """The definitions of documents. Omits those that `decode` cannot read, and logs them as of a `kind`."""
    definitions = []
    for document in documents:
        try:
            definitions.append(decode(document))
        except Exception:  # damaged, or of another version
            log.exception(f"a stored {kind} cannot be decoded", extra={kind: document["_id"]})
    return definitions
