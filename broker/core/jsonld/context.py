"""A compiled @context: two tables, and the rules of clause 5.5.7 for names that are not in them."""

from collections.abc import Mapping
from copy import copy

from broker.core import Json
from broker.core.jsonld.core_context import CORE_TERMS, DEFAULT_VOCAB, core_context

_CACHED = 20_000  # distinct names that a context caches; hostile clients may send more


class Context:
    """A compiled @context, which expands and compacts names. `contexts.compiler` compiles it once.

    `source`: the @context as the client gave it, for answers and Link headers. The core @context has
    precedence: an IRI for which it has a term or a prefix is always compacted with that.
    """

    __slots__ = ("_compacted", "_expanded", "_inverse", "_prefixes", "_terms", "_vocab", "source")

    def __init__(
        self, source: Json, terms: Mapping[str, str], prefixes: Mapping[str, str], vocab: str
    ) -> None:
        self.source = source
        self._terms = terms
        self._vocab = vocab
        self._prefixes = sorted(
            ((iri, p) for p, iri in prefixes.items()),
            key=lambda x: (-len(x[0]), x[1] not in CORE_TERMS, x[1]),
        )
        self._inverse: dict[str, str] = {}
        for term in sorted(terms, key=lambda t: (t not in CORE_TERMS, len(t), t)):
            self._inverse.setdefault(terms[term], term)  # JSON-LD: the shortest, then the first
        self._expanded: dict[str, str] = dict(terms)
        self._compacted: dict[str, str] = dict(self._inverse)

    def under(self, url: str) -> "Context":
        """The same context with a URL as its `source`."""
        renamed = copy(self)
        renamed.source = url
        return renamed

    def expand(self, name: str) -> str:
        """The IRI of a term, compact IRI or IRI."""
        iri = self._expanded.get(name)
        if iri is None:
            iri = self._expanded[name] = self._work_out(name)
            if len(self._expanded) > _CACHED:
                self._expanded = dict(self._terms)
        return iri

    def compact(self, iri: str) -> str:
        """The name of an IRI in this context; the IRI itself if there is none."""
        name = self._compacted.get(iri)
        if name is None:
            name = self._compacted[iri] = self._shorten(iri)
            if len(self._compacted) > _CACHED:
                self._compacted = dict(self._inverse)
        return name

    def compacted(self, names: Json) -> Json:
        """The name of one IRI, or the names of an array of IRIs."""
        return [self.compact(iri) for iri in names] if isinstance(names, list) else self.compact(names)

    def _work_out(self, name: str) -> str:
        prefix, colon, suffix = name.partition(":")
        if not colon:
            return self._vocab + name
        if suffix.startswith("//"):
            return name
        return next((iri + suffix for iri, known in self._prefixes if known == prefix), name)

    def _shorten(self, iri: str) -> str:
        if iri.startswith(self._vocab) and len(iri) > len(self._vocab):
            term = iri[len(self._vocab) :]
            if term not in self._terms and ":" not in term:
                return term
        for start, prefix in self._prefixes:
            if iri.startswith(start) and len(iri) > len(start) and not iri.startswith("//", len(start)):
                return f"{prefix}:{iri[len(start) :]}"
        return iri


def core() -> Context:
    """The compiled core @context. Its definitions are so simple that no JSON-LD processor is needed."""
    ids = {
        term: str(definition["@id"] if isinstance(definition, dict) else definition)
        for term, definition in core_context().items()
        if not term.startswith("@")
    }
    prefixes = {term: iri for term, iri in ids.items() if iri.endswith(("/", "#"))}
    terms = {term: _iri(name, prefixes) for term, name in ids.items() if not name.startswith("@")}
    return Context(None, terms, prefixes, DEFAULT_VOCAB)


def _iri(name: str, prefixes: Mapping[str, str]) -> str:
    prefix, colon, suffix = name.partition(":")
    if not colon:
        return DEFAULT_VOCAB + name
    return prefixes[prefix] + suffix if prefix in prefixes else name
