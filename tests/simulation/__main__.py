"""Runs schedules: `python -m tests.simulation SEED` replays one, `FIRST COUNT` runs many."""

import os
import sys
import time

from tests.simulation.schedule import Schedule


def main() -> int:
    """Runs the schedules that the command line names; how many failed."""
    first, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    began, failed, delivered, repeated = time.process_time(), 0, 0, 0
    for seed in range(first, first + count):
        schedule = Schedule(seed)
        try:
            schedule.run()
        except Exception as error:  # a violation, or a fault of the machine itself
            failed += 1
            print(f"python -m tests.simulation {seed}: {type(error).__name__}: {error}"[:400])
        delivered += schedule.receivers.delivered
        repeated += schedule.receivers.repeated
    took = time.process_time() - began
    print(
        f"{count} schedules in {took:.1f} s of CPU, {failed} failed; {delivered} delivered, {repeated} twice"
    )
    return failed


if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is a part of the schedule
    again = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
    os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
sys.exit(main() > 0)
