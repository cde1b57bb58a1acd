"""URIs and names."""

import pytest

from broker.core.uri import is_name, is_uri


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize(
    "text",
    [
        "urn:ngsi-ld:Room:1",
        "https://ex.org/a/b?c=d&e#f",
        "a:b",
        "x+y.z-1:é漢",
        "urn:x:a%20b",
        "mailto:a@b.c",
        "urn:x:(1)'*,;=!$",
    ],
)
def test_absolute_uris_and_iris(text: str) -> None:
    assert is_uri(text)


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":b",
        "a:",
        "1a:b",
        "é:b",
        "urn:x y",
        " urn:x",
        "urn:x\n",
        "urn:x\x00",
        "urn:<x>",
        'urn:"x"',
        "urn:{x}",
        "urn:x|y",
        "urn:x\\y",
        "urn:x^y",
        "urn:x`y",
        "urn:\x7f",
        "urn:\xa0x",
        "urn:\u2028",
        None,
        5,
        True,
        ["urn:x"],
        {"urn": "x"},
    ],
)
def test_what_is_no_uri(text: object) -> None:
    assert not is_uri(text)


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize(
    "hidden",
    ["\u202e", "\u2066", "\u200e", "\u200b", "\u200d", "\u2060", "\ufeff", "\ufffe", "\U0001ffff", "\ufdd0"],
)
def test_no_character_that_cannot_be_seen(hidden: str) -> None:
    assert not is_uri(f"urn:x:a{hidden}b")
    assert not is_name(f"https://ex.org/a{hidden}b")


@pytest.mark.clause("4.6.2")
@pytest.mark.parametrize(
    "text", ["a", "speed_2", "Vitesse", "été", "速度", "ex:speed", "é1:a_", "https://ex.org/a.b"]
)
def test_names(text: str) -> None:
    assert is_name(text)


@pytest.mark.clause("4.6.2")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "1a",
        "_a",
        "a-b",
        "a b",
        "a.b",
        "a$",
        "a/b",
        "a:",
        ":a",
        "ex:b c",
        "<a>",
        "a(",
        "a\n",
        "a\x00",
        "@id",
        "..",
        ".",
        "../..",
        "%2e%2e",
        "urn:..",
        "²a",
        "½",
    ],
)
def test_what_is_no_name(text: str) -> None:
    assert not is_name(text)
