"""The command line, as a person uses it."""

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from broker.__main__ import app
from broker.config import Settings

_WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}


def _run(*arguments: str, **env: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments, env={**_WIDE, **env})
    return result.exit_code, result.stdout, result.stderr


def test_the_version_in_two_ways() -> None:
    code, shown, _ = _run("version")
    assert code == 0
    assert re.fullmatch(r"Eridanus \d+\.\d+\.\d+\n", shown)
    assert _run("--version") == (0, shown, "")


def test_help_names_the_commands_but_not_the_inner_one() -> None:
    code, shown, _ = _run("--help")
    assert code == 0
    assert "serve" in shown
    assert "worker " not in shown


def test_every_setting_is_a_flag_with_its_variable_and_default() -> None:
    code, shown, _ = _run("serve", "--help")
    assert code == 0
    for name in set(Settings.model_fields) - {"process_id", "clock_offset"}:
        assert f"--{name.replace('_', '-')} " in shown
        assert f"BROKER_{name.upper()}" in shown
    assert "clock-offset" not in shown, "it is for tests"
    assert "[BROKER_PORT = 1026]" in shown
    assert "--no-access-log" in shown
    assert "auto|human|json" in shown


def test_wrong_settings_are_one_line_each() -> None:
    code, shown, errors = _run("serve", "--port", "x", "--workers", "0", BROKER_LOG_LEVEL="loud")
    assert code == 2
    assert shown == ""
    assert [line.split()[0] for line in errors.splitlines()] == ["--port", "--workers", "--log-level"]


def test_an_unknown_flag_is_refused() -> None:
    code, _, errors = _run("serve", "--no-such-flag")
    assert code == 2
    assert "--no-such-flag" in errors


@pytest.mark.parametrize("command", [["--help"], ["version"]])
def test_help_loads_neither_the_driver_nor_the_http_server(command: list[str]) -> None:
    script = (
        "import sys\nfrom broker.__main__ import app\n"
        f"try:\n    app({command})\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'pymongo', 'aiohttp', 'uvloop'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0
    )


def test_a_broken_uri_ends_with_one_sentence() -> None:
    command = [sys.executable, "-m", "broker", "serve", "--port", "0", "--mongo-uri", "mongodb://a:hu:sh@b"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 1
    assert "is not a MongoDB URI" in ended.stderr
    assert "hu:sh" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
