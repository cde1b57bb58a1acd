"""The demonstration from outside, as `make demo` runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seeds.demo import city

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "seeds.demo"]


@pytest.fixture
def unanswered() -> Iterator[str]:
    """The URL of a port that is taken but where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "80"}
    return subprocess.run(
        [*DEMO, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_broker_that_is_not_there_is_named_in_one_sentence(unanswered: str) -> None:
    ended = run("--broker", unanswered)
    assert ended.returncode == 1
    assert unanswered in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stdout + ended.stderr


def test_days_outside_the_story_are_refused() -> None:
    ended = run("--days", "0")
    assert ended.returncode == 2
    assert "from 1 to 31 days" in ended.stderr


@pytest.mark.slow
def test_a_short_demonstration_ends_with_the_water_of_every_park() -> None:
    ended = run("--days", "1", "--seconds", "6")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = ended.stdout[ended.stdout.index("Water used") :]
    rows = {line.split("│")[1].strip(): line for line in table.splitlines() if line.startswith("│")}
    assert set(rows) == {*city.load().parks.values(), "All parks"}
    assert float(rows["All parks"].split("│")[3].split()[0].replace(",", "")) > 0
    assert "waterings" in ended.stdout
    assert not ended.stderr


@pytest.mark.slow
def test_an_interrupted_demonstration_leaves_nothing_running() -> None:
    demo = subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    with demo.stdout:
        address = next(line.split()[-1] for line in demo.stdout if "was ready" in line)
        demo.send_signal(signal.SIGINT)
        said = demo.stdout.read()
    assert demo.wait(timeout=60) == 130
    assert "Traceback" not in said
    host, port = address.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=1)
