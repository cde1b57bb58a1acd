"""Child processes that end when we end: politely when asked, by the kernel when we are killed."""

import asyncio
import ctypes
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1
Output = int | IO[bytes] | None


def _death_signal() -> Callable[[], object] | None:
    # Looked up here, before any fork: the child may only make the one call, since another thread of
    # ours may hold any lock at the moment of the fork.
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


_end_with_parent = _death_signal()


async def start_child(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, output: Output = None
) -> asyncio.subprocess.Process:
    """Start `command` in a session of its own, so that Ctrl-C at the terminal reaches us alone.

    On Linux it gets SIGTERM when we die without a word. Raises OSError when it cannot be started.
    """
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=env,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


async def end_child(process: asyncio.subprocess.Process, grace: float) -> int:
    """Ask a child to end, kill it after `grace` seconds, and return its exit code."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            kill_child(process)
    return await process.wait()


def kill_child(process: asyncio.subprocess.Process) -> None:
    """Kill a child at once, unless it has ended already."""
    if process.returncode is None:
        process.kill()
