"""Links from one page to its neighbours (clauses 5.5.9, 6.3.10): the same request, at another place.

Where a client says no offset itself, the link to the next page of entities carries a key besides, `after`:
that page begins behind the last entity of this one, whatever was written meanwhile, and costs the same at any
depth. A client that counts for itself gets links that only count (specs/decisions/0010).
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from broker.api.call import Call
from broker.api.params import AFTER, Params
from broker.core.query import Query
from broker.ports.entities import Item, Page

Link = tuple[str, str]


def page_links(call: Call, limit: int, offset: int, more: bool) -> list[Link]:
    """Relative links, each with its relation, to the previous and the next page by limit and offset."""
    others = encoded(call.params)
    return [(_uri(call, [*others, *page]), relation) for page, relation in _pages(limit, offset, more)]


def entity_links(call: Call, others: Sequence[str], query: Query, page: Page[Item]) -> list[Link]:
    """The same to pages of entities, with the parameters (`others`: encoded) in alphabetical order."""
    keyed = page.after is not None and (AFTER in call.params or "offset" not in call.params)
    key = [_encoded(AFTER, str(page.after))] if keyed else []
    return [
        (_uri(call, sorted([*others, *place, *(key if relation == "next" else [])])), relation)
        for place, relation in _pages(query.limit, query.offset, page.more)
    ]


def encoded(params: Params) -> tuple[str, ...]:
    """The parameters that are the same on all pages, as they stand in a URL."""
    return tuple(_encoded(*one) for one in params.items() if one[0] not in ("limit", "offset", AFTER))


def _encoded(name: str, value: str) -> str:
    return urlencode([(name, value)], quote_via=quote, safe=":/,*")


def _pages(limit: int, offset: int, more: bool) -> list[tuple[list[str], str]]:
    pages = []
    if limit and offset:
        pages.append(([f"limit={limit}", f"offset={max(0, offset - limit)}"], "prev"))
    if limit and more:
        pages.append(([f"limit={limit}", f"offset={offset + limit}"], "next"))
    return pages


def _uri(call: Call, params: Sequence[str]) -> str:
    path = call.http.raw_path.partition("?")[0].rstrip("/")
    return f"{path}?{'&'.join(params)}"
