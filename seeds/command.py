"""How a demonstration runs as a command."""

import asyncio
import signal
import sys
from collections.abc import Coroutine

from rich.console import Console

from seeds.demo.client import DemoError


def exit_code(story: Coroutine[None, None, None], console: Console) -> int:
    """Tells a story and returns the exit code of the command: 0, 1 for an error, 130 if it was stopped."""
    try:
        asyncio.run(_stoppable(story))
    except DemoError as error:
        text = f"The demonstration can't go on: {error}"
        console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped.")
        return 130
    return 0


async def _stoppable(story: Coroutine[None, None, None]) -> None:
    """SIGTERM stops it as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None and sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await story
