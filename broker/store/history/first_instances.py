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
    found = {
        series: _Pieces(held=[single_document(series[0], item) for item in one.held]) for series, one in many
    }
    for row in await run(union(pipelines), most):
        if "h" in row:
            for each in row["h"]:
                found[row["_id"], each["a"]].held.append(single_document(row["_id"], each))
        else:
            pieces = found[row["_id"]["e"], row["_id"]["a"]]
            (pieces.buckets if "n" in row else pieces.singles).append(row)
    return found


def _buckets(wanted: SeriesRequest, few: int) -> int:
    return few + wanted.limit // SIZE


def _first(pieces: _Pieces, wanted: SeriesRequest, few: int) -> list[Document] | None:
    """The first instances of a series from its pieces; None if more buckets have to be read."""
    if not pieces.buckets and not pieces.held:
        return pieces.singles
    selection = wanted.selection
    backwards = selection.direction < 0
    low = selection.low
    inside = [one for one in pieces.buckets if low is None or one["_id"]["t"] >= low]
    packed = _unpacked(pieces.buckets, selection)
    others: Iterable[Document] = (*pieces.singles, *filter(selection.holds, pieces.held))
    is_cut = len(inside) >= _buckets(wanted, few)
    if is_cut:  # there may be more buckets, so instances beyond the last one are not sure to be the next
        edge = inside[-1]["_id"]["t"] if backwards else inside[-1]["u"]
        packed, others = (
            (one for one in many if (one["_id"]["t"] >= edge if backwards else one["_id"]["t"] <= edge))
            for many in (packed, others)
        )
    together = sorted([*islice(packed, wanted.limit), *others], key=_order, reverse=backwards)
    return None if is_cut and len(together) < wanted.limit else together[: wanted.limit]


def _unpacked(buckets: Iterable[Document], selection: Selection) -> Iterator[Document]:
    """The selected instances of buckets, in order."""
    backwards = selection.direction < 0
    return (one for bucket in buckets for one in unpack(bucket, backwards=backwards) if selection.holds(one))


def _order(document: Document) -> tuple[int, int]:
    return document["_id"]["t"], document["_id"]["s"]
