"""Streams: what one source has for a query, page by page, and which ids no page can add to any more (5.7.2).

A source is ordered if its links to next pages have a cursor as ours have: it orders entities by id, and
reads on behind one. Any other source is read to its end, by offset, before anything is final.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from broker.core.federation.step import Reply, Step
from broker.core.query import AFTER

_PAGE = 1000  # entities of a page of a source that is read to its end


@dataclass(frozen=True, slots=True)
class Stream:
    """The entities of one source as far as they have been read.

    `read`: how many. `last`: the greatest id among them. `is_complete`: there are no more.
    """

    step: Step
    read: int = 0
    last: str = ""
    is_ordered: bool = False
    is_complete: bool = False

    def next_step(self, limit: int, after: str) -> Step:
        """The step that reads on; `limit`: entities that are wanted behind the id `after`."""
        assert self.step.query is not None
        if self.is_ordered:
            query = replace(self.step.query, limit=limit, offset=0)
            return replace(self.step, query=query, params={**self.step.params, AFTER: max(self.last, after)})
        query = replace(self.step.query, limit=_PAGE if self.read else limit, offset=self.read)
        return replace(self.step, query=query)

    def taken(self, reply: Reply) -> "Stream":
        """The stream after the reply to its next step. A source that fails has no more."""
        query, ids = reply.step.query, [entity["id"] for entity in reply.entities]
        assert query is not None
        is_full = bool(ids) and len(ids) >= query.limit
        return replace(
            self,
            read=self.read + len(ids),
            last=max([self.last, *ids]),
            is_ordered=self.is_ordered or (reply.has_cursor and ids == sorted(ids)),
            is_complete=not (reply.has_more or is_full) or not ids,
        )


def fence(streams: Iterable[Stream]) -> str | None:
    """The greatest id up to which every entity is known; None if all are, "" if that is not known of any."""
    lasts = [stream.last if stream.is_ordered else "" for stream in streams if not stream.is_complete]
    return min(lasts, default=None)
