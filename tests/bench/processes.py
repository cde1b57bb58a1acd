"""The servers under load: started, waited for, stopped, and what they used of CPU and memory."""

import asyncio
import contextlib
import os
import platform
import re
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from tests.bench.client import LOOPBACK, call, head

PATIENCE = 60.0  # seconds to become ready, and to stop


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def serving(command: Sequence[str], port: int, path: str, log: Path) -> AsyncIterator[int]:
    """Run a server while the block runs; enter when it answers 200 at `path`, and give its pid."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        await _ready(process, port, path, log)
        yield process.pid
    finally:
        await _stop(process)


async def _ready(process: asyncio.subprocess.Process, port: int, path: str, log: Path) -> None:
    for _ in range(int(PATIENCE / 0.1)):
        if process.returncode is not None:
            break
        with contextlib.suppress(OSError):
            if (await call(port, head("GET", path))).status == 200:
                return
        await asyncio.sleep(0.1)
    raise RuntimeError(f"the server did not become ready:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM; what is still there after the patience, and its children, is killed."""
    if process.returncode is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        process.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far, and resident bytes: of the largest broker process, and of mongod."""

    broker_cpu: float
    mongod_cpu: float
    worker_rss: int
    mongod_rss: int

    def since(self, before: "Usage") -> "Usage":
        """The CPU used since then; the memory is that of now."""
        cpu = self.broker_cpu - before.broker_cpu, self.mongod_cpu - before.mongod_cpu
        return Usage(*cpu, self.worker_rss, self.mongod_rss)


Meter = Callable[[], Usage | None]


class Family:
    """A broker's processes: the one started, its workers, and the mongod below it."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def usage(self) -> Usage:
        """What they have used up to now: a Meter."""
        brokers: list[tuple[float, int]] = []
        mongods: list[tuple[float, int]] = []
        for process in [self._root, *self._root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used = times.user + times.system, process.memory_info().rss
                (mongods if process.name() == "mongod" else brokers).append(used)
        return Usage(
            sum(cpu for cpu, _ in brokers),
            sum(cpu for cpu, _ in mongods),
            max((rss for _, rss in brokers), default=0),
            max((rss for _, rss in mongods), default=0),
        )

    def mongodb_version(self) -> str:
        """The version of the mongod below the broker, asked of its binary."""
        for process in self._root.children(recursive=True):
            if process.name() == "mongod":
                output = subprocess.run([process.exe(), "--version"], capture_output=True, text=True).stdout
                return _found(r"db version v(\S+)", output)
        return "external"


class Neighbours:
    """How much of the machine others took meanwhile: figures from a busy machine are worth little."""

    def __init__(self, *families: Family | None) -> None:
        self._families = [family for family in families if family]
        self._known = len(self._families) == len(families)
        self._started, self._before = time.perf_counter(), self._others()

    def _others(self) -> float:
        """CPU seconds of everybody, less those of the servers under load and of the generator."""
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        usages = [family.usage() for family in self._families]
        return float(busy - sum(each.broker_cpu + each.mongod_cpu for each in usages) - time.process_time())

    def share(self) -> float | None:
        """The part of all cores that others took since this was made; unknown if a server's CPU is."""
        if not self._known:
            return None
        seconds = (time.perf_counter() - self._started) * (os.cpu_count() or 1)
        return max(0.0, (self._others() - self._before) / seconds)


def machine(family: Family | None) -> dict[str, str]:
    """What the figures were measured on."""
    cpu = Path("/proc/cpuinfo")
    model = _found(r"model name\s*: (.+)", cpu.read_text()) if cpu.exists() else platform.processor()
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
        "pymongo": version("pymongo"),
        "mongodb": family.mongodb_version() if family else "of the running broker",
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1].strip() if match else "unknown"
