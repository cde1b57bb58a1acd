"""Child processes that end with their parent: on request, or by the kernel if the parent is killed."""

import asyncio
import ctypes
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO

_PR_SET_PDEATHSIG = 1
Output = int | IO[bytes] | None


def _death_signal() -> Callable[[], object] | None:
    # Looked up before any fork: after it, the child may only make this one call, since another thread of the
    # parent may have held any lock at the fork.
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


_end_with_parent = _death_signal()


async def start_child(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, output: Output = None
) -> asyncio.subprocess.Process:
    """Starts `command` in a session of its own, so that Ctrl-C at the terminal reaches only the parent.

    On Linux it gets SIGTERM when the parent dies. OSError if it cannot be started.
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
    """Terminates a child, kills it after `grace` seconds, and returns its exit code."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace)
        except TimeoutError:
            kill_child(process)
    return await process.wait()


def kill_child(process: asyncio.subprocess.Process) -> None:
    """Kills a child at once, unless it has ended."""
    if process.returncode is None:
        process.kill()
