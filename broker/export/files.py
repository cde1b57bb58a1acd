"""The files that history is exported to: NDJSON, one instance a line, and Parquet, one a row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import orjson

from broker.core import Instance, Json, instant
from broker.core.entity.kinds import KINDS
from broker.core.jsonld.context import Context
from broker.core.temporal.evolution_view import TemporalView, view
from broker.store.history.dump import HistoryPart

_VIEW = TemporalView(sys_attrs=True)
_TIMES = {
    "observed_at": "observedAt",
    "created_at": "createdAt",
    "modified_at": "modifiedAt",
    "deleted_at": "deletedAt",
}


class File(Protocol):
    """A file that takes history piece by piece."""

    def write(self, piece: HistoryPart) -> int:
        """Writes a piece; how many instances that were."""

    def close(self) -> None:
        """Ends the file."""


class FormatError(Exception):
    """There is no such format here; the message says which there are, or what to install."""


@contextmanager
def open_file(path: Path, suffix: str, context: Context) -> Iterator[File]:
    """A new file of the format that a suffix names. FormatError if there is none."""
    if suffix not in _FORMATS:
        raise FormatError(f"the file's name has to end in one of {', '.join(_FORMATS)}")
    file = _FORMATS[suffix](path, context)
    try:
        yield file
    finally:
        file.close()


class Ndjson:
    """Each line is an EntityTemporal of one instance, in names of the core context: brokers take it."""

    def __init__(self, path: Path, context: Context) -> None:
        self._file: BinaryIO = path.open("wb")
        self._context = context

    def write(self, piece: HistoryPart) -> int:
        """See `File.write`."""
        evolution = replace(piece.evolution, created_at="", modified_at=None, deleted_at=None)
        for one in piece.instances:
            evolution.attrs = {piece.attribute: [one]}
            self._file.write(
                orjson.dumps(view(evolution, self._context, _VIEW), option=orjson.OPT_APPEND_NEWLINE)
            )
        return len(piece.instances)

    def close(self) -> None:
        """See `File.close`."""
        self._file.close()


class Parquet:
    """Columns by which tools select and sum up, and `value` as JSON; `number` is a value that is one."""

    def __init__(self, path: Path, context: Context) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise FormatError("for Parquet, install eridanus[parquet]") from error
        text, time = pa.string(), pa.timestamp("us", tz="UTC")
        columns = [("entity", text), ("types", pa.list_(text)), ("attribute", text), ("kind", text)]
        columns += [("dataset_id", text), *((name, time) for name in _TIMES), ("instance_id", text)]
        columns += [("number", pa.float64()), ("value", text), ("unit_code", text), ("members", text)]
        self._schema = pa.schema(columns)
        self._batch = pa.RecordBatch
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, piece: HistoryPart) -> int:
        """See `File.write`."""
        rows = [_row(piece, one) for one in piece.instances]
        self._writer.write_batch(self._batch.from_pylist(rows, schema=self._schema))
        return len(rows)

    def close(self) -> None:
        """See `File.close`."""
        self._writer.close()


def _row(piece: HistoryPart, one: Instance) -> dict[str, Any]:
    member = KINDS[one["type"]].value
    value: Json = one[member]
    taken = {"type", member, "datasetId", "instanceId", "unitCode", *_TIMES.values()}
    rest = {name: other for name, other in one.items() if name not in taken}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    row: dict[str, Any] = {
        "entity": piece.evolution.id,
        "types": piece.evolution.types,
        "attribute": piece.attribute,
    }
    row |= {"kind": one["type"], "dataset_id": one.get("datasetId"), "instance_id": one["instanceId"]}
    row |= {column: instant.micros(one[name]) for column, name in _TIMES.items() if name in one}
    row |= {"number": float(value) if is_number else None, "value": orjson.dumps(value).decode()}
    return row | {"unit_code": one.get("unitCode"), "members": orjson.dumps(rest).decode() if rest else None}


_FORMATS: dict[str, Callable[[Path, Context], File]] = {".ndjson": Ndjson, ".parquet": Parquet}
