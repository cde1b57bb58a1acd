"""Runs schedules: `python -m tests.simulation SEED` replays one, `FIRST COUNT` runs many."""

import os
import sys
import time

from tests.simulation.schedule import Schedule
from tests.simulation.world import Violation

if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is a part of the schedule
    os.execve(
        sys.executable,
        [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
        {**os.environ, "PYTHONHASHSEED": "0"},
    )

first, count = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
began, failed, delivered, repeated, steps = time.process_time(), 0, 0, 0, 0
for seed in range(first, first + count):
    schedule = Schedule(seed)
    try:
        schedule.run()
    except Violation as violation:
        failed += 1
        print(f"python -m tests.simulation {seed}: {violation}"[:300])
    delivered += schedule.receivers.delivered
    repeated += schedule.receivers.repeated
    steps += schedule.time.steps
print(
    f"{count} schedules in {time.process_time() - began:.1f} s of CPU, {failed} failed; "
    f"{delivered} delivered, {repeated} twice, {steps} steps"
)
sys.exit(failed > 0)
