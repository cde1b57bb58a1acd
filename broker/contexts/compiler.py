"""From an @context to the tables of `core.jsonld.context`, by PyLD (clauses 4.4, 5.5.7).

The core context is processed first, so that its prefixes can be used, and once more at the end; wherever a
user's context names it, it stands for nothing. So its terms hold whatever a user's context says of them,
without the error that JSON-LD has for that.

PyLD takes 9 MB of memory and 0.2 s to load, with what it loads, so this is done for the first @context that
is none of ours, in a thread. The core alone is compiled without it (`core.jsonld.context`).
"""

from collections.abc import Mapping
from typing import Any

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import DEFAULT_VOCAB, core_context, is_core

_DEEPEST = 50  # levels of objects and arrays in an @context; those in use have four or five
BASE = "https://uri.etsi.org/ngsi-ld/"  # what relative URLs in an @context are relative to


def compile_context(source: Json, documents: Mapping[str, Json]) -> Context:
    """The compiled context of an @context value, whose remote parts are in `documents` by URL.

    Raises BadRequestData if it is no valid JSON-LD, or has scoped contexts (which NGSI-LD forbids).
    """
    from pyld import ContextResolver, jsonld  # here, since it takes so much

    for one in (source, *(document["@context"] for document in documents.values())):
        refuse_deep(one)
        _refuse_scoped(one)

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
    open_core = {name: how for name, how in core.items() if name != "@protected"}
    local = [open_core, *(source if isinstance(source, list) else [source]), core]
    try:
        processor = jsonld.JsonLdProcessor()
        initial = processor._get_initial_context(options)
        active = processor.process_context(
            initial, {"@context": [one for one in local if one is not None]}, options
        )
    except RecursionError as error:
        raise BadRequestData("@context: terms that stand on too many others, one upon the other") from error
    except (jsonld.JsonLdError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise BadRequestData(f"@context: not a valid JSON-LD context: {_reason(error)}") from error
    return _tables(source, active)


def _tables(source: Json, active: Mapping[str, Any]) -> Context:
    mappings = {
        term: how for term, how in active["mappings"].items() if how and isinstance(how.get("@id"), str)
    }
    terms = {term: how["@id"] for term, how in mappings.items() if not how["@id"].startswith("@")}
    prefixes = {term: how["@id"] for term, how in mappings.items() if how.get("_prefix")}
    return Context(source, terms, prefixes, active.get("@vocab") or DEFAULT_VOCAB)


def refuse_deep(source: Json) -> None:
    """BadRequestData for an @context of more levels than what works on it level by level can take."""
    level = [source] if isinstance(source, dict | list) else []
    for _ in range(_DEEPEST):
        inside = (inner for one in level for inner in (one.values() if isinstance(one, dict) else one))
        level = [inner for inner in inside if isinstance(inner, dict | list)]
        if not level:
            return
    raise BadRequestData(f"@context: nested deeper than {_DEEPEST} levels")


def _refuse_scoped(source: Json) -> None:
    for part in source if isinstance(source, list) else [source]:
        if isinstance(part, dict):
            for term, how in part.items():
                if isinstance(how, dict) and "@context" in how:
                    raise BadRequestData(f"@context.{term}: scoped contexts are not allowed in NGSI-LD")


def _reason(error: Exception) -> str:
    said = str(error.args[0] if error.args else "")  # PyLD adds its innards to what it says
    return said.partition("\n")[0][:200] or type(error).__name__
