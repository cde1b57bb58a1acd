"""Links to the previous and the next page (clauses 5.5.9, 6.3.10): the same request with another `offset`.

If the client gave no `offset`, the link to the next page of entities also has a cursor, `after`. Then the
next page begins behind the last entity of this one, whatever was written in between, and costs the same at
any depth. A client that gave an `offset` gets links by offset only (specs/decisions/0010).
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from broker.api.call import Call
from broker.api.params import Params
from broker.core.query import AFTER, Query
from broker.ports.entities import Item, Page

Link = tuple[str, str]  # a relative URL, and its relation: prev or next


def page_links(call: Call, limit: int, offset: int, more: bool) -> list[Link]:
    """Links to the previous and the next page by limit and offset. `more`: there is a next page."""
    others = encoded(call.params)
    pages = _pages(limit, offset, more)
    return [(_uri(call, [*others, *position]), relation) for position, relation in pages]


def entity_links(call: Call, others: Sequence[str], query: Query, page: Page[Item]) -> list[Link]:
    """Links to the previous and the next page of entities, by cursor if possible.

    `others`: the other parameters of the request, encoded. Parameters are in alphabetical order.
    """
    has_cursor = page.after is not None and (AFTER in call.params or "offset" not in call.params)
    cursor = [_encoded(AFTER, str(page.after))] if has_cursor else []
    return [
        (_uri(call, sorted([*others, *position, *(cursor if relation == "next" else [])])), relation)
        for position, relation in _pages(query.limit, query.offset, page.more)
    ]


def encoded(params: Params) -> tuple[str, ...]:
    """The parameters that all pages share, encoded for a URL."""
    return tuple(_encoded(*item) for item in params.items() if item[0] not in ("limit", "offset", AFTER))


def _encoded(name: str, value: str) -> str:
    return urlencode([(name, value)], quote_via=quote, safe=":/,*")


def _pages(limit: int, offset: int, more: bool) -> list[tuple[list[str], str]]:
    """The neighbouring pages: (their limit and offset as parameters, their relation)."""
    pages = []
    if limit and offset:
        pages.append(([f"limit={limit}", f"offset={max(0, offset - limit)}"], "prev"))
    if limit and more:
        pages.append(([f"limit={limit}", f"offset={offset + limit}"], "next"))
    return pages


def _uri(call: Call, params: Sequence[str]) -> str:
    path = call.http.raw_path.partition("?")[0].rstrip("/")
    return f"{path}?{'&'.join(params)}"
