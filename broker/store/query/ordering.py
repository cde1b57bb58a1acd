"""Orders of entities (clause 4.23) as pipeline stages, and cursors for pages.

Each order term becomes a sort key {r: rank of the type, v: value}, since MongoDB compares documents member by
member, and arrays inside them as a whole. A page begins behind the sort keys of the last entity of the page
before, so each page costs the same. These keys are in the page's key (its cursor), which is opaque to
clients: without an order it is the id of the last entity; else it is base64url of the JSON [[[r, v], …], id].
"""

import base64
import json
from typing import Any

from bson import Decimal128

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.lang.order import TYPES, Ordering
from broker.core.uri import is_uri
from broker.store.query.collations import exact
from broker.store.query.distances import Distances
from broker.store.query.rank import sort_key

Document = dict[str, Any]

_LONGEST = 1500  # characters of a page's key, since it is part of URLs
_DEEPEST = 100  # levels of a value in it: MongoDB allows 180 in a command
_INT64 = 2**63
_NO_DISTANCES: Distances = {}
# {id: 1}: MongoDB compares names of members byte by byte in every collation.
_EXACT_ID = {"$arrayToObject": [[{"k": "$_id", "v": 1}]]}
_FAULT = "after: expected what a link to a page had there"


def stages(
    ordering: Ordering,
    wanted: Document,
    page: tuple[str | None, int, int],
    shown: Document,
    distances: Distances = _NO_DISTANCES,
) -> list[Document]:
    """The pipeline of a page of the entities that `wanted` selects, with the members `shown` and sort keys.

    `page`: (key of the page before, or None; number of entities to skip; limit). Only these members are
    sorted, and MongoDB keeps no more entities than fit on the pages up to this one. BadRequestData if the key
    is invalid.
    """
    after, skip, limit = page
    begin: list[Document] = [{"$match": behind(ordering, after)}] if after is not None else []
    return [
        {"$match": exact(wanted) if ordering.collation else wanted},
        {"$project": {**shown, **sort_keys(ordering, distances)}},
        *begin,
        {"$sort": sort(ordering)},
        *([{"$skip": skip}] if skip else []),
        {"$limit": limit},
    ]


def sort_keys(ordering: Ordering, distances: Distances) -> Document:
    """The sort keys by name, for $project."""
    keys = {
        f"k{n}": sort_key(term, ordering.reference, distances.get(term, {}))
        for n, term in enumerate(ordering.terms)
    }
    return {**keys, "id": _EXACT_ID} if ordering.collation else keys


def sort(ordering: Ordering) -> Document:
    """The operand of $sort: by the sort keys, then by id, byte by byte even in a collation."""
    ways = {f"k{n}": -1 if term.descending else 1 for n, term in enumerate(ordering.terms)}
    return {**ways, "id" if ordering.collation else "_id": 1}


def behind(ordering: Ordering, after: str) -> Document:
    """The filter, on sort keys, for entities behind the page with key `after`; BadRequestData if invalid."""
    keys, entity_id = _decoded(after, len(ordering.terms))
    steps: list[Document] = []
    same: Document = {}
    last = {entity_id: 1} if ordering.collation else entity_id
    for (name, way), value in zip(sort(ordering).items(), [*keys, last], strict=True):
        steps.append({**same, name: {"$gt" if way == 1 else "$lt": value}})
        same[name] = {"$eq": value}
    return {"$or": steps}


def page_key(ordering: Ordering | None, document: Document) -> str | None:
    """The key of a page that ends with this document; None if it is too long for a URL, or too deep."""
    if ordering is None:
        return str(document["_id"])
    keys = [document[f"k{n}"] for n in range(len(ordering.terms))]
    pairs = [[key["r"], key["v"]] if "v" in key else [key["r"]] for key in keys]
    text = json.dumps([pairs, document["_id"]], default=_integer, separators=(",", ":"))
    encoded = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return encoded if len(encoded) <= _LONGEST and _is_shallow(pairs) else None


def plain_key(after: str) -> str:
    """The id in the key of a page without an order; BadRequestData if it is no URI."""
    if not is_uri(after):
        raise BadRequestData(_FAULT)
    return after


def _decoded(after: str, terms: int) -> tuple[list[Document], str]:
    """(sort keys, id) in a page's key. Checks everything, since a client may have made it up."""
    try:
        if len(after) > _LONGEST:
            raise ValueError
        text = base64.b64decode(after + "=" * (-len(after) % 4), altchars=b"-_", validate=True)
        pairs, entity_id = json.loads(text, parse_constant=_refused)
        if len(pairs) != terms or not is_uri(entity_id) or not _is_shallow(pairs):
            raise ValueError
        return [_sort_key(*pair) for pair in pairs], entity_id
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequestData(_FAULT) from error


def _sort_key(rank: Json, *value: Json) -> Document:
    if type(rank) is not int or not 0 <= rank <= len(TYPES) or len(value) > 1:  # one more with distances
        raise ValueError
    return {"r": rank, **({"v": _stored(value[0])} if value else {})}


def _refused(constant: str) -> Json:
    raise ValueError(constant)  # NaN and its like, which are no JSON


def _is_shallow(value: Json) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        inside = (
            inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)
        )
        if not (level := [member for member in inside if isinstance(member, dict | list)]):
            return True
    return False


def _integer(value: Decimal128) -> int:
    """Integers beyond 64 bits are stored as decimals (`codec`)."""
    return int(value.to_decimal())


def _stored(value: Json) -> Any:
    if isinstance(value, dict):
        if any("\x00" in name for name in value):
            raise ValueError  # no stored name has it
        return {name: _stored(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_stored(inner) for inner in value]
    is_big = isinstance(value, int) and not -_INT64 <= value < _INT64
    return Decimal128(str(value)) if is_big else value
