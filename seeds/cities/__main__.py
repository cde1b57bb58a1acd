"""`python -m seeds.cities`: two cities on one river, with a broker each. Takes some ten seconds."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console

from seeds.cities.story import tell
from seeds.demo.client import DemoError


def main() -> int:
    """Runs the demonstration; the exit code."""
    console = Console()
    try:
        asyncio.run(tell(console))
    except DemoError as error:
        console.print(f"The demonstration can't go on: {error}", style="red", markup=False, highlight=False)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("Stopped.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
