"""Compiles an @context to the tables of `core.jsonld.context`, with PyLD (clauses 4.4, 5.5.7).

The core context is processed first, so that a user's context can use its prefixes, and again at the end, so
that its terms win. Where a user's context names the core context, it is treated as empty. So a user's context
that redefines a core term is no error, as it would be in JSON-LD, and has no effect.

Importing PyLD takes 9 MB of memory and 0.2 s. So it is imported for the first @context that is not the core
context, in a thread. The core context is compiled without PyLD (`core.jsonld.context`).
"""

from collections.abc import Mapping
from typing import Any

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import DEFAULT_VOCAB, core_context, is_core

_DEEPEST = 50  # levels of objects and arrays in an @context; @contexts in use have four or five
BASE = "https://uri.etsi.org/ngsi-ld/"  # the base of relative URLs in an @context


def compile_context(source: Json, documents: Mapping[str, Json]) -> Context:
    """The compiled context of an @context value. `documents`: the remote documents that it refers to, by URL.

    BadRequestData if it is no valid JSON-LD, or has scoped contexts, which NGSI-LD forbids.
    """
    from pyld import ContextResolver, jsonld  # here, since the import is expensive

    for value in (source, *(document["@context"] for document in documents.values())):
        refuse_deep(value)
        _refuse_scoped(value)

    def load(url: str, options: object = None) -> dict[str, Json]:
        document = {"@context": {}} if is_core(url) else documents[url]
        return {
            "contextUrl": None,
            "documentUrl": url,
            "document": document,
            "contentType": "application/ld+json",
        }

    options = {
        "base": BASE,
        "processingMode": "json-ld-1.1",
        "documentLoader": load,
        "contextResolver": ContextResolver({}, load, max_context_urls=len(documents) + 1),
    }
    core = core_context()
    unprotected = {term: definition for term, definition in core.items() if term != "@protected"}
    local = [unprotected, *(source if isinstance(source, list) else [source]), core]
    try:
        processor = jsonld.JsonLdProcessor()
        initial = processor._get_initial_context(options)
        active = processor.process_context(
            initial, {"@context": [part for part in local if part is not None]}, options
        )
    except RecursionError as error:
        raise BadRequestData("@context: terms that depend on too many other terms") from error
    except (jsonld.JsonLdError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise BadRequestData(f"@context: not a valid JSON-LD context: {_reason(error)}") from error
    return _tables(source, active)


def _tables(source: Json, active: Mapping[str, Any]) -> Context:
    mappings = {
        term: definition
        for term, definition in active["mappings"].items()
        if definition and isinstance(definition.get("@id"), str)
    }
    iris = {term: definition["@id"] for term, definition in mappings.items()}
    terms = {term: iri for term, iri in iris.items() if not iri.startswith("@")}
    prefixes = {term: iri for term, iri in iris.items() if mappings[term].get("_prefix")}
    return Context(source, terms, prefixes, active.get("@vocab") or DEFAULT_VOCAB)


def refuse_deep(source: Json) -> None:
    """BadRequestData if an @context has more than 50 levels, since PyLD works recursively."""
    level = [source] if isinstance(source, dict | list) else []
    for _ in range(_DEEPEST):
        children = (child for doc in level for child in (doc.values() if isinstance(doc, dict) else doc))
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return
    raise BadRequestData(f"@context: nested deeper than {_DEEPEST} levels")


def _refuse_scoped(source: Json) -> None:
    for part in source if isinstance(source, list) else [source]:
        if isinstance(part, dict):
            for term, definition in part.items():
                if isinstance(definition, dict) and "@context" in definition:
                    raise BadRequestData(f"@context.{term}: scoped contexts are not allowed in NGSI-LD")


def _reason(error: Exception) -> str:
    message = str(error.args[0] if error.args else "")  # PyLD appends internals after the first line
    return message.partition("\n")[0][:200] or type(error).__name__
