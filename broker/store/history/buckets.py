"""Buckets: packed history. A bucket is a document with some hundred instances of one attribute, in columns.

A bucket holds all instances of its attribute in a range of time, except late ones that are not packed yet.
The ranges of two buckets of an attribute do not overlap. Columns are BSON arrays, so that pipelines can
unpack them inside MongoDB (`unpacking`, `windows`). Their items repeat so often that block compression leaves
a few bytes for each instance.

    _id {e, a, t, s} of the first instance; u  time of the last one (µs); n  number of instances
    k   unit of the times (µs); t  column: time since the first instance, in units
    l   column: time of the write less the time of the instance (or less `b`, if present), in µs
    p   column: place among the instances of its write; missing if all are 0
    f   format of observedAt, if that is the time of each instance; c  members that all instances share
    v   column: value, for kinds that have it in `value`; x  column: members in no other column, or null
    d   the datasetIds of the instances, null for none
    h   summaries for each hour and datasetId, if all values are numbers with observedAt (`summaries`)
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
SIZE = 500  # instances in a bucket, approximately
LARGE = 16_384  # bytes; a larger instance stays single
_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%L")


def pack(documents: Sequence[Document], size: int = SIZE) -> Iterator[Document]:
    """Buckets of the instances (documents) of one attribute, which are ordered by key."""
    for part in _parts(documents, size):
        yield _bucket(part)


def unpack(bucket: Document, *, backwards: bool = False) -> Iterator[Document]:
    """The instances of a bucket as documents, ordered by key, or backwards. The same as `unpacking`."""
    key, unit, form, common = bucket["_id"], bucket["k"], bucket.get("f"), bucket["c"]
    entity, name, first, base = key["e"], key["a"], key["t"], bucket.get("b")
    none = [None] * bucket["n"]
    columns = [bucket["t"], bucket["l"], *(bucket.get(column, none) for column in "pvx")]
    if backwards:
        columns = [column[::-1] for column in columns]
    for t, lag, place, value, rest in zip(*columns, strict=True):
        time = first + unit * t
        instance = dict(common)
        if value is not None:
            instance["value"] = value
        if form is not None:
            instance["observedAt"] = _formatted(time, form)
        sequence = ((time if base is None else base) + lag) * PLACES + (place or 0)
        document = {"_id": {"e": entity, "a": name, "t": time, "s": sequence}, "i": instance}
        if rest is not None:
            document |= rest
            document["i"] = instance | rest.get("i", {})
        yield document


def _zipped(backwards: bool) -> Document:
    inputs = ["$t", "$l", *({"$ifNull": [f"${name}", []]} for name in "pvx")]
    zipped = {"$zip": {"inputs": inputs, "useLongestLength": True}}
    return {"$reverseArray": zipped} if backwards else zipped


def _column(number: int) -> Document:
    return {"$arrayElemAt": ["$z", number]}


def unpacking(*, backwards: bool = False) -> Pipeline:
    """The stages that turn buckets into documents of their instances, ordered by key, or backwards."""
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
    """Parts of similar length, about `size` at most; instances of the same time are in the same part."""
    count = max(1, -(-len(documents) // size))
    length = -(-len(documents) // count)
    start = 0
    while start < len(documents):
        end = min(start + length, len(documents))
        while end < len(documents) and documents[end]["_id"]["t"] == documents[end - 1]["_id"]["t"]:
            end += 1
        yield documents[start:end]
        start = end


def _bucket(documents: Sequence[Document]) -> Document:
    times = [document["_id"]["t"] for document in documents]
    offsets = [time - times[0] for time in times]
    unit = gcd(*offsets) or 1
    common, form = _common(documents), _format(documents, times)
    rests = [_rest(document, common, form, time) for document, time in zip(documents, times, strict=True)]
    values = [document["i"].get("value") for document in documents]
    bucket: Document = {"_id": documents[0]["_id"], "u": times[-1], "n": len(documents), "k": unit}
    bucket |= {"t": [document // unit for document in offsets], **_sequences(documents, times), "c": common}
    bucket |= {} if form is None else {"f": form}
    bucket |= {"v": values} if any(document is not None for document in values) else {}
    bucket |= {"x": rests} if any(document is not None for document in rests) else {}
    bucket["d"] = list(dict.fromkeys(document["i"].get("datasetId") for document in documents))
    if form is not None and all(map(_is_plain_number, documents)):
        bucket["h"] = list(_hours(documents))
    return bucket


def _sequences(documents: Sequence[Document], times: Sequence[int]) -> Document:
    """The columns `l`, `p` and the base `b`: with a base if that makes the numbers of `l` smaller."""
    stamps, places = zip(*(divmod(document["_id"]["s"], PLACES) for document in documents), strict=True)
    lags = [stamp - time for stamp, time in zip(stamps, times, strict=True)]
    first = min(stamps)
    columns: Document = {"l": lags}
    if max(stamps) - first < max(lags) - min(lags):
        columns = {"b": first, "l": [stamp - first for stamp in stamps]}
    return columns | ({"p": list(places)} if any(places) else {})


def _common(documents: Sequence[Document]) -> Document:
    """The members that are equal in all instances, except `value` and `observedAt`."""
    first, *others = (instance["i"] for instance in documents)
    names = [name for name in first if name not in ("value", "observedAt")]
    return {
        name: first[name]
        for name in names
        if all(_is_same(first[name], instance.get(name)) for instance in others)
    }


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, str):
        return bool(one == other)
    return encode({"": one}) == encode({"": other})


def _format(documents: Sequence[Document], times: Sequence[int]) -> str | None:
    """The format of the first instance's observedAt; None if not all instances have an observedAt."""
    texts = [document["i"].get("observedAt") for document in documents]
    if None in texts:
        return None
    return next((form for form in _FORMATS if _formatted(times[0], form) == texts[0]), None)


def _formatted(time: int, form: str) -> str:
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat(
        timespec="milliseconds"
    )
    return text[:19] if form == _FORMATS[0] else text[:23]


def _rest(document: Document, common: Document, form: str | None, time: int) -> Document | None:
    """The members of a document that are in no other column; None if there are none."""
    instance = document["i"]
    inner = {name: value for name, value in instance.items() if name not in common and name != "value"}
    if form is not None and instance["observedAt"] == _formatted(time, form):
        del inner["observedAt"]
    rest = {name: document[name] for name in ("m", "o", "w") if name in document}
    return (rest | ({"i": inner} if inner else {})) or None


def _is_plain_number(document: Document) -> bool:
    instance = document["i"]
    return (
        isinstance(instance.get("value"), int | float)
        and not {"deletedAt", "expiresAt", "esc"} & instance.keys()
    )


def _hours(documents: Iterable[Document]) -> Iterator[Document]:
    """The summaries of each hour (`p`) and datasetId, with the members of the rows of `summaries`."""
    hours: dict[tuple[int, str | None], list[Document]] = {}
    for document in documents:
        hour = document["_id"]["t"] // HOUR * HOUR
        hours.setdefault((hour, document["i"].get("datasetId")), []).append(document)
    for (hour, dataset), of_hour in hours.items():
        values = [_number(document["i"]["value"]) for document in of_hour]
        squares = float(sum(value * value for value in values))
        yield {
            "p": hour, **({} if dataset is None else {"d": dataset}), "n": len(values),
            "s": float(sum(values)), "q": squares, "lo": min(values), "hi": max(values),
            "t": of_hour[-1]["_id"]["t"],
        }  # fmt: skip


def _number(value: int | float) -> int | float:
    """The number that a value counts as: true as 1, false as 0."""
    return int(value) if isinstance(value, bool) else value
