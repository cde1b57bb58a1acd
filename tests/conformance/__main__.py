"""`python -m tests.conformance SUMMARY_JSON …`: writes specs/conformance.md from runs of the ETSI suite.

A summary is what a run of the suite leaves: its commit, and for each test its id, file and status. Later
summaries win over earlier ones, test by test, so that a part of the suite can be run again alone.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

Test = dict[str, Any]
PAGE = Path(__file__).parents[2] / "specs" / "conformance.md"
HEAD = """# Conformance

Counts from a run of the ETSI NGSI-LD test suite (the fork for V1.9.1, commit {commit}), written by
`python -m tests.conformance`. What fails is mostly what the broker does not do yet; what cannot pass, and
why, is in [doubts.md](doubts.md).

| group | passed | of |
|---|---|---|
"""


def main(paths: list[str]) -> None:
    """Writes the page of these summaries."""
    summaries = [json.loads(Path(path).read_text()) for path in paths]
    tests = {(one["file"], one["name"]): one for summary in summaries for one in summary["tests"]}
    PAGE.write_text(page(summaries[-1]["suite_commit"], list(tests.values())))


def page(commit: str, tests: list[Test]) -> str:
    """The page: a table of groups, then what failed in each."""
    groups: dict[str, list[Test]] = defaultdict(list)
    for test in tests:
        groups[group(test["file"])].append(test)
    rows = [f"| {name} | {_passed(group)} | {len(group)} |" for name, group in sorted(groups.items())]
    rows.append(f"| **all that was run** | {_passed(tests)} | {len(tests)} |")
    failed = [_failed(name, group) for name, group in sorted(groups.items()) if _passed(group) < len(group)]
    return HEAD.format(commit=commit[:7]) + "\n".join([*rows, "", "## What fails", "", *failed]) + "\n"


def group(file: str) -> str:
    """The group of a test's file: `TP/NGSI-LD/A/B/C/…/1.robot` → `A/B/C`."""
    folders = file.split("/")[2:-1]
    return "/".join(folders[:3])


def _passed(tests: list[Test]) -> int:
    return sum(test["status"] == "PASS" for test in tests)


def _failed(name: str, tests: list[Test]) -> str:
    ids = sorted(test["id"] for test in tests if test["status"] != "PASS")
    return f"- **{name}**: {', '.join(ids)}"


if __name__ == "__main__":
    main(sys.argv[1:])
