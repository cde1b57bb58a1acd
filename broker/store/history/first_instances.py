"""The first instances of series, of many series in one round trip.

MongoDB gives single instances in order and as many as are wanted; of buckets it gives the first few as they
are, for it costs a fraction to unpack a column here. Mostly few will do: where those do not hold enough of
what is selected, more are read.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from broker.store.history.aggregates import parts
from broker.store.history.buckets import SIZE, unpack
from broker.store.history.records import single
from broker.store.history.windows import Document, Pipeline, Selection, Series, union

Run = Callable[[Pipeline, int], Awaitable[list[Document]]]

_TOGETHER = 100  # series in one pipeline: MongoDB's own limit is 1000, its best is far below
_FEW = 4  # buckets of a series that are read at first, beside those that large ones would be
_MORE = 8  # times as many are read where that was too few


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """The first instances that are selected of a series, up to `limit`.

    `held`: history that the document of the entity holds, where that is known and need not be read.
    """

    selection: Selection
    limit: int
    held: Sequence[Document] = ()

    def up_to(self, limit: int) -> "SeriesRequest":
        """More of the same, to be read anew, for what was read before is used up."""
        return SeriesRequest(replace(self.selection, held=self.selection.held or bool(self.held)), limit)


@dataclass(slots=True)
class _Pieces:
    """What was read of one series: instances and buckets in order; instances in the document, in any."""

    singles: list[Document] = field(default_factory=list)
    buckets: list[Document] = field(default_factory=list)
    held: list[Document] = field(default_factory=list)


async def first(run: Run, wanted: Mapping[Series, SeriesRequest]) -> dict[Series, list[Document]]:
    """The documents of the first instances of each series that has any, in order.

    `run` gives the result of a pipeline over the history, and is told how many documents that are at most.
    """
    found: dict[Series, list[Document]] = {}
    for part in parts(wanted.items(), _TOGETHER):
        few, left = _FEW, part
        while left:
            pieces = await _pieces(run, left, few)
            made = {series: _first(pieces[series], one, few) for series, one in left if series in pieces}
            found |= {series: documents for series, documents in made.items() if documents}
            left = [(series, one) for series, one in left if made.get(series, ()) is None]
            few *= _MORE
    return found


async def _pieces(run: Run, many: Sequence[tuple[Series, SeriesRequest]], few: int) -> dict[Series, _Pieces]:
    pipelines = (one.selection.pieces(series, one.limit, _buckets(one, few)) for series, one in many)
    most = sum(one.limit + _buckets(one, few) + 2 for _, one in many)
    found = {series: _Pieces(held=[single(series[0], each) for each in one.held]) for series, one in many}
    for row in await run(union(pipelines), most):
        if "h" in row:
            for each in row["h"]:
                found[row["_id"], each["a"]].held.append(single(row["_id"], each))
        else:
            pieces = found[row["_id"]["e"], row["_id"]["a"]]
            (pieces.buckets if "n" in row else pieces.singles).append(row)
    return found


def _buckets(wanted: SeriesRequest, few: int) -> int:
    return few + wanted.limit // SIZE


def _first(pieces: _Pieces, wanted: SeriesRequest, few: int) -> list[Document] | None:
    """The first instances; None if more buckets have to be read to tell."""
    if not pieces.buckets and not pieces.held:
        return pieces.singles
    selection = wanted.selection
    backwards = selection.direction < 0
    low = selection.low
    inside = [one for one in pieces.buckets if low is None or one["_id"]["t"] >= low]
    packed = _unpacked(pieces.buckets, selection)
    others: Iterable[Document] = (*pieces.singles, *filter(selection.holds, pieces.held))
    is_cut = len(inside) >= _buckets(wanted, few)
    if is_cut:  # beyond the last bucket that was read, there may be more of them
        edge = inside[-1]["_id"]["t"] if backwards else inside[-1]["u"]
        packed, others = (
            (one for one in many if (one["_id"]["t"] >= edge if backwards else one["_id"]["t"] <= edge))
            for many in (packed, others)
        )
    together = sorted([*islice(packed, wanted.limit), *others], key=_order, reverse=backwards)
    return None if is_cut and len(together) < wanted.limit else together[: wanted.limit]


def _unpacked(buckets: Iterable[Document], selection: Selection) -> Iterator[Document]:
    """What is selected of the instances in buckets, which are in order."""
    backwards = selection.direction < 0
    return (one for bucket in buckets for one in unpack(bucket, backwards=backwards) if selection.holds(one))


def _order(document: Document) -> tuple[int, int]:
    return document["_id"]["t"], document["_id"]["s"]
