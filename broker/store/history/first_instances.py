"""Reads the first instances of series, of many series in one round trip.

MongoDB sorts and limits single instances. Buckets are read packed, since it costs much less CPU to unpack
them here than in a pipeline. At first a few buckets are read; if they do not hold enough instances, more.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from broker.store.history.aggregates import parts
from broker.store.history.buckets import SIZE, unpack
from broker.store.history.records import single_document
from broker.store.history.windows import Document, Pipeline, Selection, Series, union

Run = Callable[[Pipeline, int], Awaitable[list[Document]]]

_TOGETHER = 100  # series in one pipeline; MongoDB allows 1000 stages, but is faster with fewer
_FEW = 4  # buckets of a series in the first read, beside those that full buckets would need
_MORE = 8  # factor of the number of buckets for each further read


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """A request for the first `limit` instances of a selection of a series.

    `held`: the history in the entity's document, if the caller has read it already.
    """

    selection: Selection
    limit: int
    held: Sequence[Document] = ()

    def up_to(self, limit: int) -> "SeriesRequest":
        """The same request with another limit. It reads `held` again, since decoding changed those."""
        return SeriesRequest(replace(self.selection, held=self.selection.held or bool(self.held)), limit)


@dataclass(slots=True)
class _Pieces:
    """What was read of a series: `singles` and `buckets` in order, `held` instances in any order."""

    singles: list[Document] = field(default_factory=list)
    buckets: list[Document] = field(default_factory=list)
    held: list[Document] = field(default_factory=list)


async def first(run: Run, wanted: Mapping[Series, SeriesRequest]) -> dict[Series, list[Document]]:
    """The first instances, as documents in order, of each series that has any.

    `run` executes a pipeline over `history`; its second argument is the maximal number of results.
    """
    instances: dict[Series, list[Document]] = {}
    for part in parts(wanted.items(), _TOGETHER):
        few, left = _FEW, part
        while left:
            pieces = await _pieces(run, left, few)
            read = {
                series: _first(pieces[series], request, few) for series, request in left if series in pieces
            }
            instances |= {series: documents for series, documents in read.items() if documents}
            left = [(series, request) for series, request in left if read.get(series, ()) is None]
            few *= _MORE
    return instances


async def _pieces(run: Run, many: Sequence[tuple[Series, SeriesRequest]], few: int) -> dict[Series, _Pieces]:
    pipelines = (
        request.selection.pieces(series, request.limit, _buckets(request, few)) for series, request in many
    )
    most = sum(request.limit + _buckets(request, few) + 2 for _, request in many)
    by_series = {
        series: _Pieces(held=[single_document(series[0], item) for item in request.held])
        for series, request in many
    }
    for row in await run(union(pipelines), most):
        if "h" in row:
            for item in row["h"]:
                by_series[row["_id"], item["a"]].held.append(single_document(row["_id"], item))
        else:
            pieces = by_series[row["_id"]["e"], row["_id"]["a"]]
            (pieces.buckets if "n" in row else pieces.singles).append(row)
    return by_series


def _buckets(wanted: SeriesRequest, few: int) -> int:
    return few + wanted.limit // SIZE


def _first(pieces: _Pieces, wanted: SeriesRequest, few: int) -> list[Document] | None:
    """The first instances of a series from its pieces; None if more buckets have to be read."""
    if not pieces.buckets and not pieces.held:
        return pieces.singles
    selection = wanted.selection
    backwards = selection.direction < 0
    low = selection.low
    inside = [bucket for bucket in pieces.buckets if low is None or bucket["_id"]["t"] >= low]
    packed = _unpacked(pieces.buckets, selection)
    others: Iterable[Document] = (*pieces.singles, *filter(selection.holds, pieces.held))
    is_cut = len(inside) >= _buckets(wanted, few)
    if is_cut:  # there may be more buckets, so instances beyond the last one are not sure to be the next
        edge = inside[-1]["_id"]["t"] if backwards else inside[-1]["u"]
        packed, others = (
            (
                document
                for document in many
                if (document["_id"]["t"] >= edge if backwards else document["_id"]["t"] <= edge)
            )
            for many in (packed, others)
        )
    together = sorted([*islice(packed, wanted.limit), *others], key=_order, reverse=backwards)
    return None if is_cut and len(together) < wanted.limit else together[: wanted.limit]


def _unpacked(buckets: Iterable[Document], selection: Selection) -> Iterator[Document]:
    """The selected instances of buckets, in order."""
    backwards = selection.direction < 0
    return (
        document
        for bucket in buckets
        for document in unpack(bucket, backwards=backwards)
        if selection.holds(document)
    )


def _order(document: Document) -> tuple[int, int]:
    return document["_id"]["t"], document["_id"]["s"]
