"""The demonstration of two cities from outside, as `make demo-cities` runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_one_city_reads_the_others_level_and_closes_a_sluice_there() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "seeds.cities"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [line.strip() for line in ended.stdout.splitlines()]
    levels = [line.split() for line in lines if line.endswith(" m")]
    before, raised, alone, again = (["ham", "1.2", "m"], ["ham", "2.1", "m"], None, ["ham", "2.1", "m"])
    home = ["saint-quentin", "1.1", "m"]
    shown = (before, home, raised, home, alone, home, again, home)
    assert levels == [line for line in shown if line is not None]
    assert "Ham's broker: the sluice is told to close" in lines
    assert sum(line.startswith("warning: 199 saint-quentin ") for line in lines) == 1
