"""Links from one page to its neighbours (clauses 5.5.9, 6.3.10): the same request, at another place.

Where a client says no offset itself, the link to the next page of entities carries a key besides, `after`:
that page begins behind the last entity of this one, whatever was written meanwhile, and costs the same at any
depth. A client that counts for itself gets links that only count (specs/decisions/0010).
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from broker.api.call import Call
from broker.api.params import AFTER
from broker.core.query import Query
from broker.ports.entities import Item, Page

Link = tuple[str, str]


def page_links(call: Call, limit: int, offset: int, more: bool) -> list[Link]:
    """Relative links, each with its relation, to the previous and the next page by limit and offset."""
    return [
        (_uri(call, [*_others(call), *page.items()]), relation)
        for page, relation in _pages(limit, offset, more)
    ]


def entity_links(call: Call, query: Query, page: Page[Item]) -> list[Link]:
    """The same to pages of entities, with the parameters in alphabetical order."""
    keyed = page.after is not None and (AFTER in call.params or "offset" not in call.params)
    key = [(AFTER, str(page.after))] if keyed else []
    return [
        (_uri(call, sorted([*_others(call), *place.items(), *(key if relation == "next" else [])])), relation)
        for place, relation in _pages(query.limit, query.offset, page.more)
    ]


def _pages(limit: int, offset: int, more: bool) -> list[tuple[dict[str, str], str]]:
    pages = []
    if limit and offset:
        pages.append(({"limit": str(limit), "offset": str(max(0, offset - limit))}, "prev"))
    if limit and more:
        pages.append(({"limit": str(limit), "offset": str(offset + limit)}, "next"))
    return pages


def _others(call: Call) -> list[tuple[str, str]]:
    return [(name, value) for name, value in call.params.items() if name not in ("limit", "offset", AFTER)]


def _uri(call: Call, params: Sequence[tuple[str, str]]) -> str:
    path = call.http.raw_path.partition("?")[0].rstrip("/")
    return f"{path}?{urlencode(params, quote_via=quote, safe=':/,*')}"
