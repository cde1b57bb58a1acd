"""`python -m seeds.demo`: a week of irrigation in Saint-Quentin, in about a minute."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from seeds.command import exit_code
from seeds.demo.story import Options, tell


def options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m seeds.demo", description=__doc__)
    default = Options()
    parser.add_argument(
        "--days", type=days, default=default.days, help="days to replay (default %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=default.seconds,
        help="how long the replay lasts (default %(default)s)",
    )
    parser.add_argument("--broker", metavar="URL", help="use a running broker instead of starting one")
    parser.add_argument(
        "--listen",
        metavar="ADDRESS",
        default=default.listen,
        help="this machine's address, where the broker can reach it with notifications (default %(default)s)",
    )
    return Options(**vars(parser.parse_args(arguments)))


def days(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 31:
        raise argparse.ArgumentTypeError("choose from 1 to 31 days")
    return number


def main() -> int:
    """Runs the demonstration; the exit code."""
    console = Console()
    return exit_code(tell(options(), console), console)


if __name__ == "__main__":
    sys.exit(main())
