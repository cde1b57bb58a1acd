"""Translates queries into MongoDB filters that select the same entities as `core.lang.match`.

`core.lang.match` defines the meaning of queries. A filter is for stored entities (`codec`), and always has a
condition on `type`: documents without a type are not entities. Common queries give the filter that one would
write by hand, so that indexes on {type, _id} and on `attrs.<key>.value` can serve it: `type=T&q=P>3;S` is

    {"type": T, "attrs.P": {"$elemMatch": {"value": {"$gt": 3, "$not": {"$type": "array"}}}},
     "attrs.S": {"$exists": True}}
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bson import Regex

from broker.core.lang import pattern
from broker.core.lang.scope import ANY, ScopePattern, ScopeQuery
from broker.core.lang.terms import ANY_LANGUAGE, And, Exists, Link, Or, Q, Target, Term
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.selector import Selector
from broker.store.query.conditions import Filter, all_of, any_of, exists, holds
from broker.store.query.languages import text_holds
from broker.store.wire.codec import key

# The filters of terms on linked entities; they need queries of their own before (`selection`).
Links = Mapping[Q, Filter]
_NO_LINKS: Links = {}


def to_filter(query: Query, links: Links = _NO_LINKS) -> Filter:
    """The filter of a query, without its geoquery (`spatial`).

    `links`: filters for the terms on linked entities. BadRequestData if a pattern is not supported.
    """
    parts = [_types(query.types)]
    if query.selectors:
        parts.append(any_of([_selector(selector) for selector in query.selectors]))
    if query.ids:
        parts.append({"_id": query.ids[0] if len(query.ids) == 1 else {"$in": list(query.ids)}})
    if query.id_pattern is not None:
        parts.append({"_id": {"$regex": pattern.portable(query.id_pattern)}})
    if attrs := query.required_attrs:
        parts.append(any_of([_at((iri,), {}) for iri in attrs]))
    if query.picked:
        parts.append(any_of([_has(name) for name in query.picked]))
    if query.scope is not None:
        parts.append(_scopes(query.scope))
    if query.q is not None:
        parts.append(condition(query.q, links))
    return all_of(parts)


def _selector(selector: Selector) -> Filter:
    parts = [_types(selector.types)]
    if selector.ids:
        parts.append({"_id": {"$in": list(selector.ids)}})
    if selector.id_pattern is not None:
        parts.append({"_id": {"$regex": pattern.portable(selector.id_pattern)}})
    return all_of(parts)


def _has(name: str) -> Filter:
    return {"scope": {"$exists": True}} if name == "scope" else _at((name,), {})


def condition(q: Q, links: Links = _NO_LINKS) -> Filter:
    """The filter of a `q` alone, without a condition on `type`."""
    match q:
        case And(parts):
            return all_of([condition(part, links) for part in parts])
        case Or(parts):
            return any_of([condition(part, links) for part in parts])
        case Exists(target, True) if target.links:
            return {"$nor": [links[replace(q, absent=False)]]}
        case Exists(target) | Term(target) if target.links:
            return links[q]
        case Exists(target, absent):
            at_path = _at(target.path, {} if target.member in _TIMES else exists(target))
            return {"$nor": [at_path]} if absent else at_path
        case Term(target) if target.path and target.member in _TIMES:
            return any_of([_time(q, member) for member in _TIMES[target.member]])
        case Term(target):
            return _all_languages(q) if _is_of_all_languages(q) else _at(target.path, holds(q))


def link_filter(link: Link, ids: Sequence[str]) -> Filter:
    """The filter for entities of which a link leads to one of these entities."""
    return _at(link.path, any_of([{member: {"$in": list(ids)}} for member in ("object", "objectList")]))


def _scopes(query: ScopeQuery) -> Filter:
    return any_of(
        [all_of([_scope(scope_pattern) for scope_pattern in patterns]) for patterns in query.any_of]
    )


def _scope(wanted: ScopePattern) -> Filter:
    """The filter of a scope pattern. Scopes are stored as sent, with or without a leading slash."""
    if not wanted.levels:
        return {"scope": {"$exists": True}}
    path = "/".join(wanted.levels)
    if ANY not in wanted.levels and not wanted.below:
        return {"scope": {"$in": ["/" + path, path]}}
    form = path.replace(ANY, "[^/]+") + (r"(?:/|\z)" if wanted.below else r"\z")
    return {"scope": {"$in": [Regex("^/" + form), Regex("^" + form)]}}


# The members with a time of an instance: the first that exists counts; None is the entity's createdAt.
_TIMES = {"createdAt": ("createdAt", None), "modifiedAt": ("modifiedAt", "createdAt", None)}


def _time(term: Term, member: str | None) -> Filter:
    """The filter that a term holds for an instance whose time is in `member`; None: the entity's."""
    members = _TIMES[term.target.member or ""]
    missing: Filter = {earlier: {"$exists": False} for earlier in members[: members.index(member)] if earlier}
    at = replace(term, target=Target((), member=member or "createdAt"))
    if member is None:
        return all_of([_at(term.target.path, missing), holds(at)])
    return _at(term.target.path, all_of([missing, holds(at)]))


def _types(selection: TypeSelection | None) -> Filter:
    if selection is None or selection.is_anything:
        return {"type": {"$exists": True}}
    single = [names[0] for names in selection.any_of if len(names) == 1]
    alternatives: list[Filter] = (
        [{"type": {"$in": single} if len(single) > 1 else single[0]}] if single else []
    )
    alternatives += [{"type": {"$all": list(names)}} for names in selection.any_of if len(names) > 1]
    return any_of(alternatives)


def _at(path: tuple[str, ...], inner: Filter) -> Filter:
    """The filter that `inner` holds for an instance at the path (for the entity, if the path is empty)."""
    for iri in reversed(path):
        inner = {f"attrs.{key(iri)}": {"$elemMatch": inner} if inner else {"$exists": True}}
    return inner


def _is_of_all_languages(term: Term) -> bool:
    """Whether the term applies to the texts of all languages of a LanguageProperty."""
    return term.target.member is None and term.target.trailing in ((), ANY_LANGUAGE)


def _all_languages(term: Term) -> Filter:
    """The filter of a term that applies to the texts of all languages (`languages`)."""
    target = term.target
    texts = text_holds(term)
    with_languages = _at(target.path, {"languageMap": {"$exists": True}})
    if texts is not None:
        with_languages = all_of([{_dotted(target): {"$exists": True}}, texts])
    elif term.operator != "!=":
        return _at(target.path, holds(term)) if not target.trailing else any_of([])
    if target.trailing:
        return with_languages
    others: Filter = {"languageMap": {"$exists": False}} if term.operator == "!=" else {}
    return any_of([_at(target.path, all_of([others, holds(term)])), with_languages])


def _dotted(target: Target) -> str:
    return "".join(f"attrs.{key(iri)}." for iri in target.path) + "languageMap"
