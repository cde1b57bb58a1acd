"""The queries that context sources are sent (clauses 5.2.23, 6.4.3.2, 6.4.3.3, 6.23.3.1).

They are printed from the trees that this broker reads itself, so GET and POST say the same, in the names of
any @context. Not sent is what belongs to the merged entities: order, projection, languages, datasetId.
"""

import orjson

from broker.core import Json
from broker.core.entity.renamed import attribute_name
from broker.core.federation.step import Step
from broker.core.jsonld.context import Context
from broker.core.lang.show import show, show_geo, show_scope, show_types
from broker.core.lang.types import TypeSelection
from broker.core.query import Query
from broker.core.selector import Selector

_PAGED = frozenset(("queryEntity", "queryBatch"))


def query_params(step: Step, names: Context) -> dict[str, str]:
    """The parameters that say what a step asks for; of a query in a body, those of the page only."""
    if (query := step.query) is None:
        return {}
    params = {} if step.operation == "queryBatch" else _selected(query, names) | _filtered(query, names)
    return params | _page(query) if step.operation in _PAGED else params


def query_body(step: Step, names: Context) -> dict[str, Json]:
    """The Query (5.2.23) of a step."""
    query = step.query or Query()
    body: dict[str, Json] = {"type": "Query"}
    if entities := [_entity_selector(selector, names) for selector in _selectors(query)]:
        body["entities"] = entities
    if query.attrs:
        body["attrs"] = [attribute_name(iri, names) for iri in query.attrs]
    if query.q is not None:
        body["q"] = show(query.q, names.compact)
    if query.geo is not None:
        body["geoQ"] = show_geo(query.geo, names.compact)
    if query.scope is not None:
        body["scopeQ"] = show_scope(query.scope)
    return body


def _selectors(query: Query) -> tuple[Selector, ...]:
    if query.selectors:
        return query.selectors
    if query.types is None and not query.ids and query.id_pattern is None:
        return ()
    return (Selector(query.types or TypeSelection(()), query.ids, query.id_pattern),)


def _entity_selector(selector: Selector, names: Context) -> dict[str, Json]:
    shown: dict[str, Json] = {}
    if selector.types.any_of:
        shown["type"] = show_types(selector.types, names.compact)
    if selector.ids:
        shown["id"] = selector.ids[0] if len(selector.ids) == 1 else [*selector.ids]
    elif selector.id_pattern is not None:
        shown["idPattern"] = selector.id_pattern
    return shown


def _selected(query: Query, names: Context) -> dict[str, str]:
    """The parameters type, id and idPattern."""
    selector = _union(query.selectors) if query.selectors else None
    types = query.types if selector is None else selector.types
    ids = query.ids if selector is None else selector.ids
    id_pattern = query.id_pattern if selector is None else selector.id_pattern
    params = {} if types is None else {"type": show_types(types, names.compact)}
    if ids:
        return params | {"id": ",".join(ids)}
    return params if id_pattern is None else params | {"idPattern": id_pattern}


def _union(selectors: tuple[Selector, ...]) -> Selector:
    """A selector of all that these select, and perhaps more: a query string has room for one only."""
    types = TypeSelection(tuple(dict.fromkeys(names for each in selectors for names in each.types.any_of)))
    if all(each.ids for each in selectors):
        return Selector(types, tuple(dict.fromkeys(id_ for each in selectors for id_ in each.ids)))
    patterns = [each.id_pattern for each in selectors if each.id_pattern is not None]
    if len(patterns) == len(selectors):
        return Selector(types, id_pattern="|".join(f"(?:{pattern})" for pattern in patterns))
    return Selector(types)


def _filtered(query: Query, names: Context) -> dict[str, str]:
    """The parameters attrs, q, those of a geoquery, and scopeQ."""
    params: dict[str, str] = {}
    if query.attrs:
        params["attrs"] = ",".join(attribute_name(iri, names) for iri in query.attrs)
    if query.q is not None:
        params["q"] = show(query.q, names.compact)
    if query.geo is not None:
        geo = show_geo(query.geo, names.compact)
        params |= geo | {"coordinates": orjson.dumps(geo["coordinates"]).decode()}
    if query.scope is not None:
        params["scopeQ"] = show_scope(query.scope)
    return params


def _page(query: Query) -> dict[str, str]:
    params = {"limit": str(query.limit)}
    if query.offset:
        params["offset"] = str(query.offset)
    return {**params, "count": "true"} if query.count else params
