"""Query strings (clauses 6.3.7, 6.3.10, 6.3.13, 6.3.20): parses parameters to queries.

All readers raise BadRequestData or InvalidRequest for parameters that are wrong.
"""

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import parse_qsl

from broker.core.entity.parse import attribute_name
from broker.core.errors import BadRequestData, InvalidRequest, TooManyResults
from broker.core.federation.registration import of_members
from broker.core.jsonld.context import Context
from broker.core.lang import collation as collations
from broker.core.lang import geo, order, pattern, q, scope, types
from broker.core.lang.order import Ordering
from broker.core.lang.terms import Q, depth
from broker.core.purge import Purge
from broker.core.query import AFTER, Query
from broker.core.selector import Selector
from broker.core.uri import is_name, is_uri
from broker.ports.broker import Limits

Params = dict[str, str]


class Paging(NamedTuple):
    """A page by `limit` and `offset`, and whether the response needs the full count (6.3.10, 6.3.13)."""

    limit: int
    offset: int
    counted: bool


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
LOCAL = "local"  # accepted everywhere: no other broker is asked (6.3.18)
NAMELESS = frozenset({"id", "idPattern", "scopeQ", LOCAL})  # parameters that need no @context
_COUNT = "count"
PAGE = frozenset({"limit", "offset", _COUNT})
# Parameters that cannot hold a space. A + in them is a plus sign, though form encoding uses + for a space.
_WITHOUT_SPACES = re.compile(r"(?:^|(?<=&))(?:scopeQ|idPattern)=[^&]*")


def read_params(query: str) -> Params:
    """The parameters of a query string. InvalidRequest if one is repeated or the encoding is wrong."""
    if not query:
        return {}
    if "+" in query:
        query = _WITHOUT_SPACES.sub(lambda match: match[0].replace("+", "%2B"), query)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:
        raise InvalidRequest(
            "query string: expected at most 100 parameters in percent-encoded UTF-8"
        ) from error
    params = dict(pairs)
    if len(params) < len(pairs):
        raise InvalidRequest("query string: a parameter is repeated")
    return params


def allow(params: Params, *known: Collection[str]) -> None:
    """6.3.20: returns if the operation has all these parameters; InvalidRequest otherwise.

    BadRequestData if `local` is not true or false.
    """
    for name in params:
        if name != LOCAL and not any(name in group for group in known):
            raise InvalidRequest(f"{name}: not a parameter of this operation")
    flag(params, LOCAL)


def of_list(params: Params) -> Params:
    """The parameters, with `options=count` (as clients of older brokers send it) replaced by `count=true`."""
    chosen = _names(params["options"]) if "options" in params else []
    if _COUNT not in chosen:
        return params
    others = {name: text for name, text in params.items() if name != "options"}
    rest = ",".join(option for option in chosen if option != _COUNT)
    return {_COUNT: "true", **others, **({"options": rest} if rest else {})}


def options(params: Params, allowed: Collection[str]) -> set[str]:
    """The values of `options`. InvalidRequest if the operation does not allow one."""
    chosen = set(_names(params["options"])) if "options" in params else set[str]()
    if unknown := sorted(chosen - set(allowed)):
        raise InvalidRequest(f"options: {unknown[0]!r} is none of {', '.join(sorted(allowed))}")
    return chosen


def read_format(params: Params) -> str:
    """The format that `format` or, without it, `options` names: normalized, concise or simplified.

    InvalidRequest if it names another one.
    """
    chosen = options(params, OPTIONS)
    formats = [format for format in FORMATS if format in chosen]
    name = params.get("format", formats[0] if formats else "normalized")
    if name not in FORMATS:
        hint = "; GeoJSON is asked for by Accept: application/geo+json" if "geo" in name.lower() else ""
        raise InvalidRequest(f"format: {name!r} is none of {', '.join(FORMATS)}{hint}")
    return FORMATS[name]


def attrs(params: Params, context: Context, param: str = "attrs") -> tuple[str, ...]:
    """The IRIs of the attributes that a parameter lists; empty without the parameter.

    BadRequestData if one is no name of an attribute.
    """
    if param not in params:
        return ()
    names = _names(params[param])
    if wrong := [name for name in names if name in ("id", "type", "scope") or not is_name(name)]:
        raise BadRequestData(f"{param}: expected names of attributes, and {wrong[0]!r} is none")
    return tuple(attribute_name(name, context) for name in names)


def read_query(
    params: Params, context: Context, limits: Limits, selectors: tuple[Selector, ...] = ()
) -> Query:
    """The query that the parameters describe: selection, order and page (5.7.2.4).

    `selectors`: the entity selectors of a query body, if there are several. BadRequestData if it is too wide;
    TooManyResults if the limit is too high.
    """
    query = read_selection(params, context, limits, selectors)
    if query.is_too_wide and not flag(params, LOCAL):
        raise BadRequestData("query: too wide; expected type, attrs, q, georel or local=true")
    selections = (query.types, *(selector.types for selector in selectors))
    if any(selection and selection.is_anything for selection in selections) and params.get(LOCAL) == "false":
        raise BadRequestData("type: * selects entities of this broker only, so local cannot be false")
    if query.is_split and query.q is not None and depth(query.q):
        raise BadRequestData("splitEntities: expected no linked attributes in q")
    return query


def read_selection(
    params: Params, context: Context, limits: Limits, selectors: tuple[Selector, ...] = ()
) -> Query:
    """The same query, which may be too wide. TooManyResults if the limit is too high.

    BadRequestData if a parameter is wrong.
    """
    limit, offset, count = read_page(params, limits)
    return Query(
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
        csf=None if "csf" not in params else q.parse(params["csf"], of_members(context.expand), what="csf"),
        is_split=flag(params, "splitEntities"),
    )


def read_order(params: Params, context: Context, collation: str | None) -> Ordering | None:
    """The order of the results (4.23); None without `orderBy`. `collation`: the default collation.

    BadRequestData if a parameter is wrong, or one is missing that another one needs.
    """
    name = params.get("collation", collation)
    rules = None if name is None else collations.parse(name)
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
    expanded, unexpanded = (attrs(params, context, param) for param in ("expandValues", "jsonKeys"))
    if "q" not in params:
        return None
    return q.parse(params["q"], context.expand, set(expanded) - set(unexpanded))


def check_depth(query: Query, links: int) -> Query:
    """The query; BadRequestData if its `q` follows more than `links` relationships (5.7.2.4)."""
    if query.q is not None and (followed := depth(query.q)) > links:
        most = f"at most {links} linked entities on a path, as many as are joined"
        raise BadRequestData(f"q: expected {most}, not {followed}")
    return query


def _geo(params: Params, context: Context) -> geo.GeoQuery | None:
    members = {name: params[name] for name in _GEO if name in params}
    return geo.parse(members, context.expand) if members.keys() - {"geoproperty"} else None


def read_purge(params: Params, context: Context, limits: Limits) -> Purge:
    """5.6.21: the purge that the parameters describe.

    BadRequestData if it is too wide, if both `keep` and `drop` are there, or if one lists what is no name.
    """
    if "keep" in params and "drop" in params:
        raise BadRequestData("keep, drop: expected one of them at most")
    query = check_depth(read_query(params, context, limits), 0)
    return Purge(query, _attributes(params, context, "drop"), _attributes(params, context, "keep"))


def _attributes(params: Params, context: Context, name: str) -> frozenset[str] | None:
    if name not in params:
        return None
    return frozenset(attribute_name(listed, context) for listed in _names(params[name]))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def read_page(params: Params, limits: Limits) -> Paging:
    """The page that the parameters ask for. TooManyResults if `limit` is too high.

    BadRequestData for a limit of 0 without a count.
    """
    count = flag(params, _COUNT)
    limit = number(params, "limit", limits.default_page)
    if limit > limits.page:
        raise TooManyResults(f"limit: expected at most {limits.page}")
    if limit == 0 and not count:
        raise BadRequestData("limit: expected at least 1, or count=true beside it")
    return Paging(limit, number(params, "offset", 0), count)


def flag(params: Params, name: str) -> bool:
    """The value of a boolean parameter; False without it. BadRequestData if it is not true or false."""
    value = params.get(name, "false")
    if value not in ("true", "false"):
        raise BadRequestData(f"{name}: expected true or false")
    return value == "true"


def dataset(params: Params) -> str | None:
    """The `datasetId`; None for the default instance, which is @none or no parameter.

    BadRequestData if it is neither a URI nor @none.
    """
    dataset_id = params.get("datasetId")
    if dataset_id not in (None, "@none") and not is_uri(dataset_id):
        raise BadRequestData("datasetId: expected a URI or @none")
    return None if dataset_id == "@none" else dataset_id


def type_selection(params: Params, context: Context) -> types.TypeSelection | None:
    """4.17: the selection of the `type` parameter; None without it. BadRequestData if it is none."""
    return types.parse(params["type"], context.expand) if "type" in params else None


def uris(params: Params, name: str, *words: str) -> tuple[str, ...]:
    """The URIs that a parameter lists; empty without it. `words`: keywords allowed in place of a URI.

    BadRequestData if it lists anything else.
    """
    listed = tuple(_names(params[name])) if name in params else ()
    for uri in listed:
        if uri not in words and not is_uri(uri):
            raise BadRequestData(f"{name}: expected URIs, and {uri!r} is none")
    return listed


def _pattern(params: Params) -> str | None:
    id_pattern = params.get("idPattern")
    if id_pattern is not None:
        pattern.compile(id_pattern)
    return id_pattern


def number(params: Params, name: str, default: int) -> int:
    """The value of a parameter that is a whole number of 0 or more. BadRequestData if it is none."""
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequestData(f"{name}: expected a whole number of 0 or more")
    return int(text)
