"""The file formats of exported history: NDJSON (an instance per line) and Parquet (an instance per row)."""

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
    """A file to which history is written piece by piece."""

    def write(self, piece: HistoryPart) -> int:
        """Writes a piece; returns its number of instances."""

    def close(self) -> None:
        """Completes and closes the file."""


class FormatError(Exception):
    """The file format is not available; the message lists the formats, or what to install."""


@contextmanager
def open_file(path: Path, suffix: str, context: Context) -> Iterator[File]:
    """A new file in the format of `suffix`, closed at the end. FormatError if the format is not available."""
    if suffix not in _FORMATS:
        raise FormatError(f"the file's name has to end in one of {', '.join(_FORMATS)}")
    file = _FORMATS[suffix](path, context)
    try:
        yield file
    finally:
        file.close()


class Ndjson:
    """Each line is an EntityTemporal with one instance, in names of the context, which brokers accept."""

    def __init__(self, path: Path, context: Context) -> None:
        self._file: BinaryIO = path.open("wb")
        self._context = context

    def write(self, piece: HistoryPart) -> int:
        """See `File.write`."""
        evolution = replace(piece.evolution, created_at="", modified_at=None, deleted_at=None)
        for instance in piece.instances:
            evolution.attrs = {piece.attribute: [instance]}
            self._file.write(
                orjson.dumps(view(evolution, self._context, _VIEW), option=orjson.OPT_APPEND_NEWLINE)
            )
        return len(piece.instances)

    def close(self) -> None:
        """See `File.close`."""
        self._file.close()


class Parquet:
    """Columns to filter and aggregate by.

    `value`: the value as JSON; `number`: the value if it is a number.
    """

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
        rows = [_row(piece, instance) for instance in piece.instances]
        self._writer.write_batch(self._batch.from_pylist(rows, schema=self._schema))
        return len(rows)

    def close(self) -> None:
        """See `File.close`."""
        self._writer.close()


def _row(piece: HistoryPart, instance: Instance) -> dict[str, Any]:
    member = KINDS[instance["type"]].value
    value: Json = instance[member]
    in_columns = {"type", member, "datasetId", "instanceId", "unitCode", *_TIMES.values()}
    rest = {name: content for name, content in instance.items() if name not in in_columns}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    row: dict[str, Any] = {
        "entity": piece.evolution.id,
        "types": piece.evolution.types,
        "attribute": piece.attribute,
    }
    row |= {
        "kind": instance["type"],
        "dataset_id": instance.get("datasetId"),
        "instance_id": instance["instanceId"],
    }
    row |= {column: instant.micros(instance[name]) for column, name in _TIMES.items() if name in instance}
    row |= {"number": float(value) if is_number else None, "value": orjson.dumps(value).decode()}
    return row | {
        "unit_code": instance.get("unitCode"),
        "members": orjson.dumps(rest).decode() if rest else None,
    }


_FORMATS: dict[str, Callable[[Path, Context], File]] = {".ndjson": Ndjson, ".parquet": Parquet}
