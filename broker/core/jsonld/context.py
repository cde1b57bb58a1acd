"""A compiled @context: two tables and the rules of clause 5.5.7 for what they do not hold."""

from collections.abc import Mapping
from copy import copy

from broker.core import Json
from broker.core.jsonld.core_context import CORE_TERMS, DEFAULT_VOCAB, core_context

_REMEMBERED = 20_000  # distinct names a context answers from memory; hostile clients invent more


class Context:
    """What an @context says about names. Compiled once (`contexts.compiler`), then only looked up.

    `source` is the user's own @context as it was given, for answers and Link headers. The core @context has
    precedence: an IRI that it has a term or a prefix for is compacted with that, whatever else names it.
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
            self._inverse.setdefault(terms[term], term)  # JSON-LD: the shortest, then the least
        self._expanded: dict[str, str] = dict(terms)
        self._compacted: dict[str, str] = dict(self._inverse)

    def under(self, url: str) -> "Context":
        """The same context, for answers that name it by a URL."""
        same = copy(self)
        same.source = url
        return same

    def expand(self, name: str) -> str:
        """The IRI of a term, compact IRI or IRI."""
        found = self._expanded.get(name)
        if found is None:
            found = self._expanded[name] = self._work_out(name)
            if len(self._expanded) > _REMEMBERED:
                self._expanded = dict(self._terms)
        return found

    def compact(self, iri: str) -> str:
        """The name of an IRI for a user of this context; the IRI itself when it has none."""
        found = self._compacted.get(iri)
        if found is None:
            found = self._compacted[iri] = self._shorten(iri)
            if len(self._compacted) > _REMEMBERED:
                self._compacted = dict(self._inverse)
        return found

    def compacted(self, names: Json) -> Json:
        """One IRI, or each of an array of them, compacted."""
        return [self.compact(one) for one in names] if isinstance(names, list) else self.compact(names)

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
    """The core @context, compiled; its definitions are so plain that this takes no JSON-LD processor."""
    ids = {
        term: str(how["@id"] if isinstance(how, dict) else how)
        for term, how in core_context().items()
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
