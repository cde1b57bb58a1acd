"""`python -m tests.conformance SUMMARY_JSON …`: writes specs/conformance.md from runs of the ETSI suite.

A summary is what a run of the suite leaves: its commit, and for each test its id, file and status. What is
not in it stays as the runs before it left it, test by test, in `results.json`; so a part of the suite can be
run again alone. Without a summary the page is only written anew, as after a merge of `results.json`.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Results = dict[str, dict[str, list[str]]]  # by file: the ids of the tests that "passed", and that "failed"

RESULTS = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "specs" / "conformance.md"
HEAD = """# Conformance

Counts from runs of the ETSI NGSI-LD test suite (the fork for V1.9.1, commit {commit}), written by
`python -m tests.conformance`. What fails is mostly what the broker does not do yet; what cannot pass, and
why, is in [doubts.md](doubts.md).

| group | passed | of |
|---|---|---|
"""


def main(paths: list[str]) -> None:
    """Takes the summaries in, later ones over earlier ones, and writes the page."""
    known = json.loads(RESULTS.read_text())
    commit, results = known["commit"], known["files"]
    for path in paths:
        summary = json.loads(Path(path).read_text())
        commit, results = summary["suite_commit"], merged(results, summary["tests"])
    RESULTS.write_text(text(commit, results))
    PAGE.write_text(page(commit, results))


def merged(results: Results, tests: Iterable[dict[str, Any]]) -> Results:
    """The results after these tests were run."""
    ran: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"passed": [], "failed": []})
    for test in tests:
        ran[test["file"]]["passed" if test["status"] == "PASS" else "failed"].append(test["id"])
    return results | {file: _over(results.get(file, {}), new) for file, new in ran.items()}


def _over(old: dict[str, list[str]], new: dict[str, list[str]]) -> dict[str, list[str]]:
    again = {one for ids in new.values() for one in ids}
    return {kind: sorted([one for one in old.get(kind, ()) if one not in again] + new[kind]) for kind in new}


def text(commit: str, results: Results) -> str:
    """The results as JSON, a file of the suite on each line, so that changes are easy to merge."""
    lines = [f"  {json.dumps(file)}: {json.dumps(one)}" for file, one in sorted(results.items())]
    return f'{{"commit": {json.dumps(commit)}, "files": {{\n' + ",\n".join(lines) + "\n}}\n"


def page(commit: str, results: Results) -> str:
    """The page: a table of groups, then what failed in each."""
    groups: dict[str, dict[str, list[str]]] = defaultdict(lambda: {"passed": [], "failed": []})
    for file, one in results.items():
        for kind, ids in one.items():
            groups[group(file)][kind] += ids
    rows = [_row(name, one) for name, one in sorted(groups.items())]
    everything = {
        kind: [one for ids in groups.values() for one in ids[kind]] for kind in ("passed", "failed")
    }
    rows.append(_row("**all that was run**", everything))
    failed = [
        f"- **{name}**: {', '.join(sorted(one['failed']))}"
        for name, one in sorted(groups.items())
        if one["failed"]
    ]
    return HEAD.format(commit=commit[:7]) + "\n".join([*rows, "", "## What fails", "", *failed]) + "\n"


def group(file: str) -> str:
    """The group of a test's file: `TP/NGSI-LD/A/B/C/…/1.robot` → `A/B/C`."""
    folders = file.split("/")[2:-1]
    return "/".join(folders[:3])


def _row(name: str, one: dict[str, list[str]]) -> str:
    passed = len(one["passed"])
    return f"| {name} | {passed} | {passed + len(one['failed'])} |"


if __name__ == "__main__":
    main(sys.argv[1:])
