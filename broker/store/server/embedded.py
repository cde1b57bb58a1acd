"""The embedded MongoDB server: a private one-node replica set under the data directory."""

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from pymongo.errors import PyMongoError

from broker.store.server.children import end_child, start_child
from broker.store.server.mongod import EmbeddedMongoError, failure, find_mongod, mongod_command
from broker.store.server.replica_set import Credentials, make_writable, uri

__all__ = ["EmbeddedMongo", "EmbeddedMongoError"]

logger = logging.getLogger(__name__)

_START_LIMIT = 60.0  # seconds: recovery of a crashed server replays its journal first
_STOP_LIMIT = 20.0
_ATTEMPTS = 3
_LOG_LIMIT = 10 * 1024 * 1024
_POLL = 0.01


class EmbeddedMongo:
    """The mongod of a broker, one per data directory; `start`, `wait_exit` and `stop` may be repeated.

    Its files are in `data_dir/mongodb`: database, key file, password, port, log. `transaction_lifetime` is
    the limit of transactions (s), None for MongoDB's default; `cache_mb` None sizes the cache by the memory.
    """

    def __init__(
        self,
        data_dir: Path,
        mongod: Path | None = None,
        *,
        transaction_lifetime: int | None = 5,
        cache_mb: int | None = None,
    ) -> None:
        self.folder = data_dir.absolute() / "mongodb"
        self.version = ""
        self._mongod = mongod
        self._transaction_lifetime = transaction_lifetime
        self._cache_mb = cache_mb
        self._lock: IO[bytes] | None = None
        self._port: int | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the server, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> str:
        """Starts the server and returns the URI of its writable primary; EmbeddedMongoError if it cannot.

        Recovers a crashed server; first ends one that a killed broker left behind. The first call uses the
        port of the last run if it is free; later calls use the port of the first one.
        """
        try:
            return await self._start(find_mongod(self._mongod))
        except (PyMongoError, OSError) as error:
            await self._end_process()
            reason = str(error) or type(error).__name__
            raise EmbeddedMongoError(f"the embedded MongoDB server cannot be started: {reason}") from error
        except BaseException:
            await self._end_process()
            raise

    async def _start(self, mongod: Path) -> str:
        self._lock = self._lock or _lock(self.folder)
        credentials = _prepare(self.folder)
        await _end_leftover(self.folder)
        port = self._port = await self._launch(mongod)
        self.version = await asyncio.wait_for(make_writable(port, credentials), _START_LIMIT)
        return uri(port, credentials)

    async def _launch(self, mongod: Path) -> int:
        """Start the process and wait until it listens; return the port."""
        for attempt in range(_ATTEMPTS):
            port = self._port or _choose_port(self.folder)
            await self._spawn(mongod, port)
            try:
                return await asyncio.wait_for(self._listening(port), _START_LIMIT)
            except EmbeddedMongoError:
                # Another process may have taken the port meanwhile; any other failure is final.
                if self._port or attempt == _ATTEMPTS - 1 or _is_free(port):
                    raise
        raise AssertionError("unreachable")

    async def _spawn(self, mongod: Path, port: int) -> None:
        command = mongod_command(
            mongod,
            self.folder,
            port,
            transaction_lifetime=self._transaction_lifetime,
            cache_mb=self._cache_mb,
        )
        with _output(self.folder) as output:
            self._process = await start_child(command, output=output)

    async def _listening(self, port: int) -> int:
        assert self._process is not None
        while self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL)
            else:
                writer.close()
                await writer.wait_closed()
                return port
        raise _failure(self._process.returncode, self.folder)

    async def wait_exit(self) -> int:
        """Wait until the server process ends, for whatever reason; return its exit code."""
        assert self._process is not None, "wait_exit before start"
        return await self._process.wait()

    async def stop(self) -> None:
        """Ends the server cleanly and unlocks the data directory; does nothing without a server."""
        await self._end_process()
        if self._lock:
            self._lock.close()
            self._lock = None

    async def _end_process(self) -> None:
        if self._process:
            await end_child(self._process, _STOP_LIMIT)
            self._process = None


def address(data_dir: Path) -> str | None:
    """The URI of the server that a broker runs on this data directory; None if none is running."""
    folder = data_dir.absolute() / "mongodb"
    try:
        with (folder / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        port, password = (folder / "port").read_text(), (folder / "password").read_text()
        return uri(int(port), Credentials("eridanus", password))
    return None


def _lock(folder: Path) -> IO[bytes]:
    """Locks the data directory for this process; the kernel unlocks it when the process ends.

    EmbeddedMongoError if another broker has locked it, or it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder / "lock").open("ab")
    except OSError as error:
        raise EmbeddedMongoError(f"the data directory {folder} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise EmbeddedMongoError(
            f"another broker uses the data directory {folder.parent}: stop it, or set another BROKER_DATA_DIR"
        ) from error
    return file


def _prepare(folder: Path) -> Credentials:
    """Creates the files that the server needs, and rotates a large log."""
    (folder / "db").mkdir(mode=0o700, exist_ok=True)
    _secret(folder / "keyfile")
    log = folder / "mongod.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    return Credentials("eridanus", _secret(folder / "password"))


def _secret(path: Path) -> str:
    """The secret in the file `path`. Creates it if missing, atomically, readable by this user only."""
    if not path.exists():
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(secrets.token_hex(32))
        part.replace(path)
    return path.read_text()


def _choose_port(folder: Path) -> int:
    """The port of the last start if it is still free, else a free one."""
    file = folder / "port"
    kept = int(file.read_text()) if file.exists() else 0
    port = kept if kept and _is_free(kept) else _free_port()
    if port != kept:
        file.write_text(str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    # Below the range of outgoing connections: one of those could take the port during a restart.
    return next(port for port in iter(lambda: random.randrange(20_000, 32_000), None) if _is_free(port))


def _output(folder: Path) -> IO[bytes]:
    """The file for output before the server opens its log, such as errors of the dynamic loader."""
    return (folder / "mongod.out").open("wb")


def _failure(code: int, folder: Path) -> EmbeddedMongoError:
    output = (folder / "mongod.out").read_text(errors="replace")
    return failure(code, output, folder / "mongod.log")


async def _end_leftover(folder: Path) -> None:
    """Ends a server of this data directory that a killed broker left behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if (pid := _leftover(folder)) is None:
            return
        logger.info("ending the MongoDB server that a killed broker left behind", extra={"pid": pid})
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        await _until_gone(folder)


async def _until_gone(folder: Path) -> None:
    for _ in range(int(_STOP_LIMIT / _POLL)):
        if _leftover(folder) is None:
            return
        await asyncio.sleep(_POLL)


def _leftover(folder: Path) -> int | None:
    """The process id in mongod.lock, if that process is a server of this directory; else None."""
    lock = folder / "db" / "mongod.lock"
    text = lock.read_text().strip() if lock.exists() else ""
    return int(text) if text.isdigit() and str(folder / "db") in _command_line(int(text)) else None


def _command_line(pid: int) -> list[str]:
    """The arguments of a process, empty when it is gone or a zombie."""
    if sys.platform != "linux":
        shown = subprocess.run(
            ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
        )
        return shown.stdout.decode().split()
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
