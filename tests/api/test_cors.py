"""Cross-origin requests: off unless a setting names origins."""

from broker.api.cors import cors

PAGE = {"Origin": "https://map.city.example"}


def test_an_origin_that_is_not_named_gets_nothing() -> None:
    assert cors((), PAGE, "GET") == {}
    assert cors(("https://other.example",), PAGE, "GET") == {}
    assert cors(("*",), {}, "GET") == {}


def test_an_origin_that_is_named_sees_our_headers() -> None:
    granted = cors(("https://map.city.example",), PAGE, "GET")
    assert granted["Access-Control-Allow-Origin"] == "https://map.city.example"
    assert "NGSILD-Results-Count" in granted["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Methods" not in granted


def test_a_preflight_is_told_the_methods() -> None:
    preflight = {**PAGE, "Access-Control-Request-Method": "PATCH"}
    assert cors(("*",), preflight, "GET, PATCH")["Access-Control-Allow-Methods"] == "GET, PATCH"
