"""The page of conformance."""

from tests.conformance.__main__ import group, page


def _test(file: str, test_id: str, status: str) -> dict[str, str]:
    return {"file": f"TP/NGSI-LD/{file}", "id": test_id, "status": status}


def test_a_group_is_three_folders_deep() -> None:
    assert group("TP/NGSI-LD/A/B/C/D/1.robot") == "A/B/C"
    assert group("TP/NGSI-LD/A/B/1.robot") == "A/B"


def test_the_page_counts_what_passed_and_names_only_what_failed() -> None:
    text = page("abcdef123", [_test("A/B/1.robot", "1_01", "PASS"), _test("A/B/1.robot", "1_02", "FAIL")])
    assert "| A/B | 1 | 2 |" in text
    assert "- **A/B**: 1_02" in text
    assert "1_01" not in text
