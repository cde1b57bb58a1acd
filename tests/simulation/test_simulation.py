"""Thousands of schedules, and two mutants that prove that the simulation would find what is wrong."""

import os
import subprocess
import sys

import pytest

from tests.simulation.mutants import Forgetful, Uninformed
from tests.simulation.schedule import NewWorker, Schedule
from tests.simulation.world import Violation

PARTS, EACH, FEW = 4, 2500, 400


def run(first: int, count: int) -> None:
    """Runs schedules in a process of its own, in which the order of sets is always the same."""
    command = [sys.executable, "-m", "tests.simulation", str(first), str(count)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_nothing_is_lost_and_all_is_in_order() -> None:
    run(PARTS * EACH, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_in_ten_thousand_schedules(part: int) -> None:
    run(part * EACH, EACH)


@pytest.mark.parametrize(("mutant", "complaint"), [(Forgetful, "not over|twice"), (Uninformed, "overtakes")])
def test_it_finds_what_was_wrong_before(mutant: NewWorker, complaint: str) -> None:
    def run_all() -> None:
        for seed in range(300):
            Schedule(seed, mutant).run()

    with pytest.raises(Violation, match=complaint):
        run_all()


def test_a_seed_is_one_schedule() -> None:
    runs = []
    for _ in range(2):
        schedule = Schedule(7)
        schedule.run()
        runs.append((schedule.time.now, schedule.time.steps, schedule.receivers.delivered))
    assert runs[0] == runs[1]
    assert runs[0][2] > 0
