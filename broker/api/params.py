"""Query strings (clauses 6.3.7, 6.3.10, 6.3.13, 6.3.20): texts to queries and views."""

import re
from collections.abc import Callable, Collection
from urllib.parse import parse_qsl

from broker.core.entity.parse import attribute_name
from broker.core.errors import BadRequestData, InvalidRequest, TooManyResults
from broker.core.jsonld.context import Context
from broker.core.lang import collation as collations
from broker.core.lang import geo, order, pattern, q, scope, types
from broker.core.lang.order import Ordering
from broker.core.lang.terms import Q, depth
from broker.core.query import Query
from broker.core.selector import Selector
from broker.core.uri import is_name, is_uri
from broker.ports.broker import Limits

Params = dict[str, str]

FORMATS = {
    "normalized": "normalized",
    "concise": "concise",
    "simplified": "simplified",
    "keyValues": "simplified",
}
OPTIONS = frozenset({*FORMATS, "sysAttrs"})
VIEW = frozenset({"options", "format", "attrs"})
ORDER = frozenset({"orderBy", "orderFrom", "orderGeometry", "collation"})
_GEO = frozenset({*geo.MEMBERS, "geoproperty"})
SELECTION = _GEO | {"type", "id", "idPattern", "q", "expandValues", "jsonKeys", "scopeQ", "csf", "attrs"}
LOCAL = "local"  # accepted everywhere: this broker asks no other yet
NAMELESS = frozenset({"id", "idPattern", "scopeQ", LOCAL})  # no @context is needed to read these
_COUNT = "count"
PAGE = frozenset({"limit", "offset", _COUNT})
AFTER = "after"  # our own: the key of the page before, which only the links to pages need to know
# Parameters that cannot hold a space, in which a + is none therefore, as forms would have it.
_WITHOUT_SPACES = re.compile(r"(?:^|(?<=&))(?:scopeQ|idPattern)=[^&]*")


def read_params(query: str) -> Params:
    """The parameters of a query string; each may be there once."""
    if not query:
        return {}
    if "+" in query:
        query = _WITHOUT_SPACES.sub(lambda one: one[0].replace("+", "%2B"), query)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidRequest(
            "query string: expected at most 100 parameters in percent-encoded UTF-8"
        ) from error
    params = dict(pairs)
    if len(params) < len(pairs):
        raise InvalidRequest("query string: a parameter is there twice")
    return params


def allow(params: Params, *known: Collection[str]) -> None:
    """6.3.20: InvalidRequest for a parameter that the operation does not have."""
    for name in params:
        if name != LOCAL and not any(name in group for group in known):
            raise InvalidRequest(f"{name}: not a parameter of this operation")
    flag(params, LOCAL)


def of_list(params: Params) -> Params:
    """The parameters of a list: `options=count`, as clients of older brokers have it, is count=true."""
    named = [one.strip() for one in params["options"].split(",")] if "options" in params else []
    if _COUNT not in named:
        return params
    others = {name: text for name, text in params.items() if name != "options"}
    rest = ",".join(one for one in named if one != _COUNT)
    return {_COUNT: "true", **others, **({"options": rest} if rest else {})}


def options(params: Params, allowed: Collection[str]) -> set[str]:
    """The values of `options`; InvalidRequest for one that the operation does not have."""
    found = {one.strip() for one in params["options"].split(",")} if "options" in params else set[str]()
    if unknown := sorted(found - set(allowed)):
        raise InvalidRequest(f"options: {unknown[0]!r} is none of {', '.join(sorted(allowed))}")
    return found


def read_format(params: Params) -> str:
    """The format asked for by `format`, which wins, or by `options`."""
    chosen = options(params, OPTIONS)
    formats = [one for one in FORMATS if one in chosen]
    name = params.get("format", formats[0] if formats else "normalized")
    if name not in FORMATS:
        hint = "; GeoJSON is asked for by Accept: application/geo+json" if "geo" in name.lower() else ""
        raise InvalidRequest(f"format: {name!r} is none of {', '.join(FORMATS)}{hint}")
    return FORMATS[name]


def attrs(params: Params, context: Context, param: str = "attrs") -> tuple[str, ...]:
    """The names of attributes that a parameter lists, expanded."""
    if param not in params:
        return ()
    names = _names(params[param])
    if wrong := [name for name in names if name in ("id", "type", "scope") or not is_name(name)]:
        raise BadRequestData(f"{param}: expected names of attributes, and {wrong[0]!r} is none")
    return tuple(attribute_name(name, context) for name in names)


def read_query(
    params: Params, context: Context, limits: Limits, selectors: tuple[Selector, ...] = ()
) -> Query:
    """The selection and the page that a query asks for; BadRequestData if it is too wide (5.7.2.4)."""
    limit, offset, count = read_page(params, limits)
    if "csf" in params:  # who would be asked is nobody yet
        q.parse(params["csf"], context.expand, what="csf")
    query = Query(
        types=None if "type" not in params else types.parse(params["type"], context.expand),
        ids=uris(params, "id"),
        id_pattern=_pattern(params),
        selectors=selectors,
        attrs=attrs(params, context),
        q=_q(params, context),
        scope=None if "scopeQ" not in params else scope.parse(params["scopeQ"]),
        geo=_geo(params, context),
        limit=limit,
        offset=offset,
        count=count,
        order=read_order(params, context, limits.collation),
        after=params.get(AFTER),
    )
    if query.is_too_wide and not flag(params, LOCAL):
        raise BadRequestData("query: too wide; expected type, attrs, q, georel or local=true")
    of_any_type = [one for one in (query.types, *(one.types for one in selectors)) if one and one.is_anything]
    if of_any_type and params.get(LOCAL) == "false":
        raise BadRequestData("type: * is of this broker alone, so local cannot be false")
    flag(params, "splitEntities")  # no entity is split as long as no other broker is asked
    return query


def read_order(params: Params, context: Context, collation: str | None) -> Ordering | None:
    """The order that is asked for (4.23); without a collation of its own it has the one given."""
    named = params.get("collation", collation)
    rules = None if named is None else collations.parse(named)
    origin = None
    if "orderFrom" in params:
        origin = order.reference(params.get("orderGeometry", "Point"), params["orderFrom"])
    elif "orderGeometry" in params:
        raise BadRequestData("orderGeometry: expected only beside orderFrom")
    if "orderBy" not in params:
        return None
    terms = order.parse(params["orderBy"], context.expand)
    if origin is None and any(term.distance for term in terms):
        raise BadRequestData("orderFrom: expected, since orderBy asks for distances")
    if params.get(LOCAL) == "false":
        raise BadRequestData("orderBy: expected only where local is not false")
    return Ordering(terms, origin, rules)


def _q(params: Params, context: Context) -> Q | None:
    expanded, as_they_are = (attrs(params, context, param) for param in ("expandValues", "jsonKeys"))
    if "q" not in params:
        return None
    return q.parse(params["q"], context.expand, set(expanded) - set(as_they_are))


def check_depth(query: Query, links: int) -> Query:
    """5.7.2.4: BadRequestData for a query that looks at entities more than so many links away."""
    if query.q is not None and (found := depth(query.q)) > links:
        most = f"at most {links} linked entities on a path, as many as are joined"
        raise BadRequestData(f"q: expected {most}, not {found}")
    return query


def _geo(params: Params, context: Context) -> geo.GeoQuery | None:
    members = {name: params[name] for name in _GEO if name in params}
    return geo.parse(members, context.expand) if members.keys() - {"geoproperty"} else None


def read_purge(params: Params, context: Context) -> Callable[[str], bool] | None:
    """5.6.21: which attributes are to go, by `keep` or `drop`; None for whole entities."""
    if "keep" in params and "drop" in params:
        raise BadRequestData("keep, drop: expected one of them at most")
    if "keep" in params:
        kept = {attribute_name(name, context) for name in _names(params["keep"])}
        return lambda iri: iri not in kept
    if "drop" in params:
        dropped = {attribute_name(name, context) for name in _names(params["drop"])}
        return lambda iri: iri in dropped
    return None


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",")]


def read_page(params: Params, limits: Limits) -> tuple[int, int, bool]:
    """limit, offset and count (6.3.10, 6.3.13). A limit of 0 only makes sense with a count."""
    count = flag(params, _COUNT)
    limit = number(params, "limit", limits.default_page)
    if limit > limits.page:
        raise TooManyResults(f"limit: expected at most {limits.page}")
    if limit == 0 and not count:
        raise BadRequestData("limit: expected at least 1, or count=true beside it")
    return limit, number(params, "offset", 0), count


def flag(params: Params, name: str) -> bool:
    """A parameter that is true or false, false if it is not there."""
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise BadRequestData(f"{name}: expected true or false")
    return value == "true"


def dataset(params: Params) -> str | None:
    """The datasetId asked for; None for that of the default instance."""
    found = params.get("datasetId")
    if found not in (None, "@none") and not is_uri(found):
        raise BadRequestData("datasetId: expected a URI or @none")
    return None if found == "@none" else found


def type_gate(params: Params, context: Context) -> Callable[[list[str]], bool] | None:
    """4.17: what the `type` parameter of an operation on one entity asks of its types."""
    if "type" not in params:
        return None
    selection = types.parse(params["type"], context.expand)
    return lambda found: types.matches(selection, found)


def uris(params: Params, name: str, *words: str) -> tuple[str, ...]:
    """The URIs that a parameter lists, or words that may stand for one; none if it is not there."""
    found = tuple(_names(params[name])) if name in params else ()
    for one in found:
        if one not in words and not is_uri(one):
            raise BadRequestData(f"{name}: expected URIs, and {one!r} is none")
    return found


def _pattern(params: Params) -> str | None:
    found = params.get("idPattern")
    if found is not None:
        pattern.compile(found)
    return found


def number(params: Params, name: str, default: int) -> int:
    """A parameter that is a whole number."""
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequestData(f"{name}: expected a whole number of 0 or more")
    return int(text)
