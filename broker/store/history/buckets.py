"""Packed history: the older instances of an attribute, some hundreds in one document, column by column.

A bucket holds all instances of its attribute in a range of time, but for those that came late and were not
packed yet; no two buckets of an attribute share a moment. Its columns are arrays of MongoDB's own, which
repeat themselves so much that block compression leaves a few bytes of each instance; so MongoDB itself can
unpack them inside a pipeline, and every query on the history is one on buckets, too (`unpacking`, `windows`).

    _id {e, a, t, s} of the first instance; `u` the time of the last one, `n` how many
    k   unit of the times (µs); t  times since the first one, in that unit
    l   times of the writes (µs) less those of the instances, or less `b`; p  places in a write, unless 0
    f   format of observedAt, where that is the time and written so; c  members that all instances share
    v   values of kinds whose value is in `value`; x  what else there is of each document, unless nothing
    d   the datasetIds there are, null for none
    h   summaries of each hour and datasetId, if all are numbers that were observed (`summaries`)
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from math import gcd
from typing import Any

from bson import encode

from broker.store.history.records import PLACES

Document = dict[str, Any]
Pipeline = list[Document]

HOUR = 3_600_000_000  # µs
SIZE = 500  # instances of one bucket, more or less
LARGE = 16_384  # bytes of an instance that is too large for any, and stays a document of its own
_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%L")


def pack(documents: Sequence[Document], size: int = SIZE) -> Iterator[Document]:
    """Buckets of documents of one attribute, which are in the order of their keys."""
    for part in _parts(documents, size):
        yield _bucket(part)


def unpack(bucket: Document, *, backwards: bool = False) -> Iterator[Document]:
    """The documents of a bucket in the order of their keys, or backwards: `unpacking` in Python."""
    key, unit, shape, common = bucket["_id"], bucket["k"], bucket.get("f"), bucket["c"]
    entity, name, first, base = key["e"], key["a"], key["t"], bucket.get("b")
    none = [None] * bucket["n"]
    columns = [bucket["t"], bucket["l"], *(bucket.get(column, none) for column in "pvx")]
    if backwards:
        columns = [column[::-1] for column in columns]
    for t, lag, place, value, rest in zip(*columns, strict=True):
        time = first + unit * t
        one = dict(common)
        if value is not None:
            one["value"] = value
        if shape is not None:
            one["observedAt"] = _formatted(time, shape)
        sequence = ((time if base is None else base) + lag) * PLACES + (place or 0)
        document = {"_id": {"e": entity, "a": name, "t": time, "s": sequence}, "i": one}
        if rest is not None:
            document |= rest
            document["i"] = one | rest.get("i", {})
        yield document


def _zipped(backwards: bool) -> Document:
    inputs = ["$t", "$l", *({"$ifNull": [f"${name}", []]} for name in "pvx")]
    found = {"$zip": {"inputs": inputs, "useLongestLength": True}}
    return {"$reverseArray": found} if backwards else found


def _column(number: int) -> Document:
    return {"$arrayElemAt": ["$z", number]}


def unpacking(*, backwards: bool = False) -> Pipeline:
    """The stages that turn buckets into the documents of their instances, in order."""
    sequence = {"$add": [{"$multiply": [{"$add": [{"$ifNull": ["$b", "$y"]}, _column(1)]}, PLACES]},
                         {"$ifNull": [_column(2), 0]}]}  # fmt: skip
    date = {"$toDate": {"$toLong": {"$floor": {"$divide": ["$y", 1000]}}}}
    observed = {
        "$cond": [{"$gt": ["$f", None]}, {"$dateToString": {"date": date, "format": "$f"}}, "$$REMOVE"]
    }
    value = {"$cond": [{"$eq": [{"$ifNull": [_column(3), None]}, None]}, "$$REMOVE", _column(3)]}
    instance = {"$mergeObjects": ["$c", {"value": value, "observedAt": observed}, "$r.i"]}
    own = {"_id": {"e": "$_id.e", "a": "$_id.a", "t": "$y", "s": sequence}, "i": instance}
    return [
        {"$project": {"k": 1, "b": 1, "c": 1, "f": 1, "z": _zipped(backwards)}},
        {"$unwind": "$z"},
        {"$set": {"y": {"$add": ["$_id.t", {"$multiply": ["$k", _column(0)]}]}, "r": _column(4)}},
        {"$replaceWith": {"$mergeObjects": ["$r", own]}},
    ]


def _parts(documents: Sequence[Document], size: int) -> Iterator[Sequence[Document]]:
    """About even parts of at most about `size`, none of which begins at the moment another ends."""
    count = max(1, -(-len(documents) // size))
    each = -(-len(documents) // count)
    start = 0
    while start < len(documents):
        end = min(start + each, len(documents))
        while end < len(documents) and documents[end]["_id"]["t"] == documents[end - 1]["_id"]["t"]:
            end += 1
        yield documents[start:end]
        start = end


def _bucket(documents: Sequence[Document]) -> Document:
    times = [one["_id"]["t"] for one in documents]
    offsets = [time - times[0] for time in times]
    unit = gcd(*offsets) or 1
    common, shape = _common(documents), _format(documents, times)
    rests = [_rest(one, common, shape, time) for one, time in zip(documents, times, strict=True)]
    values = [one["i"].get("value") for one in documents]
    bucket: Document = {"_id": documents[0]["_id"], "u": times[-1], "n": len(documents), "k": unit}
    bucket |= {"t": [one // unit for one in offsets], **_sequences(documents, times), "c": common}
    bucket |= {} if shape is None else {"f": shape}
    bucket |= {"v": values} if any(one is not None for one in values) else {}
    bucket |= {"x": rests} if any(one is not None for one in rests) else {}
    bucket["d"] = list(dict.fromkeys(one["i"].get("datasetId") for one in documents))
    if shape is not None and all(map(_is_plain_number, documents)):
        bucket["h"] = list(_hours(documents))
    return bucket


def _sequences(documents: Sequence[Document], times: Sequence[int]) -> Document:
    """The columns that tell when instances were written: by how much later, or beside the first of them."""
    stamps, places = zip(*(divmod(one["_id"]["s"], PLACES) for one in documents), strict=True)
    lags = [stamp - time for stamp, time in zip(stamps, times, strict=True)]
    first = min(stamps)
    found: Document = {"l": lags}
    if max(stamps) - first < max(lags) - min(lags):
        found = {"b": first, "l": [stamp - first for stamp in stamps]}
    return found | ({"p": list(places)} if any(places) else {})


def _common(documents: Sequence[Document]) -> Document:
    """The members that all instances share, but for values and observedAt."""
    first, *others = (one["i"] for one in documents)
    names = [name for name in first if name not in ("value", "observedAt")]
    return {
        name: first[name] for name in names if all(_is_same(first[name], one.get(name)) for one in others)
    }


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return bool(one == other)
    return encode({"": one}) == encode({"": other})


def _format(documents: Sequence[Document], times: Sequence[int]) -> str | None:
    """The format that most often gives observedAt, if all instances have one."""
    texts = [one["i"].get("observedAt") for one in documents]
    if None in texts:
        return None
    return next((one for one in _FORMATS if _formatted(times[0], one) == texts[0]), None)


def _formatted(time: int, form: str) -> str:
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat(
        timespec="milliseconds"
    )
    return text[:19] if form == _FORMATS[0] else text[:23]


def _rest(document: Document, common: Document, shape: str | None, time: int) -> Document | None:
    """What the columns do not hold of a document."""
    one = document["i"]
    inner = {name: value for name, value in one.items() if name not in common and name != "value"}
    if shape is not None and one["observedAt"] == _formatted(time, shape):
        del inner["observedAt"]
    rest = {name: document[name] for name in ("m", "o", "w") if name in document}
    return (rest | ({"i": inner} if inner else {})) or None


def _is_plain_number(document: Document) -> bool:
    one = document["i"]
    return isinstance(one.get("value"), int | float) and not {"deletedAt", "expiresAt", "esc"} & one.keys()


def _hours(documents: Iterable[Document]) -> Iterator[Document]:
    """What the numbers of each hour (`p`) and datasetId come to, as rows of `summaries` do."""
    hours: dict[tuple[int, str | None], list[Document]] = {}
    for one in documents:
        hours.setdefault((one["_id"]["t"] // HOUR * HOUR, one["i"].get("datasetId")), []).append(one)
    for (hour, dataset), many in hours.items():
        values = [_number(one["i"]["value"]) for one in many]
        squares = float(sum(one * one for one in values))
        yield {
            "p": hour, **({} if dataset is None else {"d": dataset}), "n": len(values),
            "s": float(sum(values)), "q": squares, "lo": min(values), "hi": max(values),
            "t": many[-1]["_id"]["t"],
        }  # fmt: skip


def _number(value: int | float) -> int | float:
    """A number for itself, a boolean for 1 or 0."""
    return int(value) if isinstance(value, bool) else value
