"""The container image, as far as it can be told without a container engine: what is copied makes a wheel."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _rules() -> list[tuple[bool, re.Pattern[str]]]:
    """The lines of .dockerignore: whether each leaves out what it matches, and what that is."""
    lines = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()]
    return [
        (not line.startswith("!"), _pattern(line.removeprefix("!").strip("/")))
        for line in lines
        if line and not line.startswith("#")
    ]


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile("".join(_MEANING.get(one, re.escape(one)) for one in _TOKEN.findall(line)))


def _is_left(path: str) -> bool:
    """Whether a file gets to the builder: the last rule decides that matches it or a folder that it is in."""
    above = [path, *map(str, PurePosixPath(path).parents)]
    found = [leaves_out for leaves_out, rule in _rules() if any(map(rule.fullmatch, above))]
    return not (found and found[-1])


def _copies() -> list[tuple[list[str], str]]:
    """Every COPY from the build context: its sources, and where they go."""
    lines = [line.split()[1:] for line in (ROOT / "Dockerfile").read_text().splitlines() if "COPY " in line]
    return [(line[:-1], line[-1]) for line in lines if not line[0].startswith("--from")]


def _files(source: str) -> list[str]:
    """The files of a source that are left, relative to the root."""
    place = ROOT / source
    files = [place] if place.is_file() else [one for one in place.rglob("*") if one.is_file()]
    return [path for one in files if _is_left(path := one.relative_to(ROOT).as_posix())]


def _target(file: str, source: str, target: str) -> str:
    """Where a file of a source goes: as it is inside its folder; a single one into a folder, or as it."""
    if (ROOT / source).is_dir():
        return str(PurePosixPath(target) / PurePosixPath(file).relative_to(source))
    return str(PurePosixPath(target) / PurePosixPath(file).name) if target.endswith("/") else target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the image installs, built of exactly the files that get there; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("source")
    for sources, target in _copies():
        for source in sources:
            for file in _files(source):
                to = folder / _target(file, source, target)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / file, to)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "made"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = (folder / "made").glob("*.whl")
    return made


def test_everything_that_is_copied_is_there() -> None:
    copies = _copies()
    assert copies
    for sources, _ in copies:
        for source in sources:
            assert _files(source), f".dockerignore leaves nothing of {source}"


def test_nothing_else_gets_to_the_builder() -> None:
    for file in ("specs/doubts.md", "tests/test_image.py", ".venv/x", "broker/core/__pycache__/x.pyc"):
        assert not _is_left(file), file


def test_what_the_build_forces_into_the_wheel_is_copied() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    copied = {_target(file, one, to) for sources, to in _copies() for one in sources for file in _files(one)}
    assert copied >= build["targets"]["wheel"]["force-include"].keys()


def test_the_wheel_is_whole(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("broker/")}
        document = archive.read("broker/api/openapi.yaml")
    assert held == {*_files("broker"), "broker/api/openapi.yaml"}
    assert document == (ROOT / "specs/openapi.yaml").read_bytes()
    assert not any("__pycache__" in name for name in held)


def test_the_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from broker.api.openapi import document; import broker.__main__ as it\n"
        "print(it.__file__, len(document()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    size = len((ROOT / "specs/openapi.yaml").read_bytes())
    assert done.stdout.split() == [str(tmp_path / "broker/__main__.py"), str(size)], done.stderr
