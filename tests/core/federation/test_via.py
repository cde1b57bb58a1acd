"""Via headers (6.3.18): elements as whole tokens, never by suffix."""

import pytest

from broker.core.federation.via import pseudonyms, read_via, write_via

pytestmark = pytest.mark.clause("6.3.18")


@pytest.mark.parametrize(
    ("fields", "elements"),
    [
        ([], ()),
        (["1.1 a"], ("1.1 a",)),
        (["1.1 a, HTTP/1.1 b:80 (nginx, inc)", "1.0  c"], ("1.1 a", "HTTP/1.1 b:80 (nginx, inc)", "1.0 c")),
        ([" , ,1.1\ta ,"], ("1.1 a",)),
        ([r"1.1 a (x\) (y, z)), 1.1 b"], (r"1.1 a (x\) (y, z))", "1.1 b")),
        (["1.1 a (never closed, 1.1 b"], ("1.1 a (never closed", "1.1 b")),
    ],
)  # fmt: skip
def test_elements(fields: list[str], elements: tuple[str, ...]) -> None:
    assert read_via(fields) == elements


def test_pseudonyms_are_second_tokens() -> None:
    via = read_via(["1.1 city, HTTP/2 city~hall (city-2), broken"])
    assert pseudonyms(via) == {"city", "city~hall"}


def test_a_request_goes_on_with_one_more() -> None:
    assert write_via((), "me") == "1.1 me"
    assert write_via(read_via(["1.1 a", "1.1 b (x)"]), "me~t") == "1.1 a, 1.1 b (x), 1.1 me~t"


def test_a_hostile_header_takes_no_time() -> None:
    assert len(read_via(["(" * 50_000])) == 1
    assert len(read_via(["((),()" * 8000])) > 1
