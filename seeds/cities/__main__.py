"""`python -m seeds.cities`: two cities on one river, with a broker each. Takes some ten seconds."""

from __future__ import annotations

import sys

from rich.console import Console

from seeds.cities.story import tell
from seeds.command import exit_code


def main() -> int:
    """Runs the demonstration; the exit code."""
    console = Console()
    return exit_code(tell(console), console)


if __name__ == "__main__":
    sys.exit(main())
