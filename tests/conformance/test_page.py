"""The page of conformance."""

import json

from tests.conformance.__main__ import PAGE, RESULTS, group, merged, page, text


def _test(file: str, test_id: str, status: str) -> dict[str, str]:
    return {"file": f"TP/NGSI-LD/{file}", "id": test_id, "status": status}


def test_a_group_is_three_folders_deep() -> None:
    assert group("TP/NGSI-LD/A/B/C/D/1.robot") == "A/B/C"
    assert group("TP/NGSI-LD/A/B/1.robot") == "A/B"


def test_the_page_counts_what_passed_and_names_only_what_failed() -> None:
    results = merged({}, [_test("A/B/1.robot", "1_01", "PASS"), _test("A/B/1.robot", "1_02", "FAIL")])
    shown = page("abcdef123", results)
    assert "| A/B | 1 | 2 |" in shown
    assert "- **A/B**: 1_02" in shown
    assert "1_01" not in shown


def test_what_is_not_run_again_stays_as_it_was() -> None:
    first = [_test("A/B/1.robot", one, "FAIL") for one in ("1_01", "1_02", "1_02")]
    before = merged({}, [*first, _test("A/C/2.robot", "2_01", "PASS")])
    after = merged(before, [_test("A/B/1.robot", "1_01", "PASS"), _test("A/D/3.robot", "3_01", "FAIL")])
    assert after == {
        "TP/NGSI-LD/A/B/1.robot": {"passed": ["1_01"], "failed": ["1_02", "1_02"]},
        "TP/NGSI-LD/A/C/2.robot": {"passed": ["2_01"], "failed": []},
        "TP/NGSI-LD/A/D/3.robot": {"passed": [], "failed": ["3_01"]},
    }
    assert json.loads(text("abc", after)) == {"commit": "abc", "files": after}


def test_the_page_is_that_of_the_results() -> None:
    known = json.loads(RESULTS.read_text())
    assert page(known["commit"], known["files"]) == PAGE.read_text()
