"""Regular expressions of clients: judged by RE2, and rewritten for two engines that mean the same by them."""

import re

import pytest
import re2

from broker.core.errors import BadRequestData
from broker.core.lang import pattern

TEXTS = ["", "a", "\n", "a\n", "\x0b", " ", "é", "b]", "[", "$", "{1", "A", "S-z", "\\", "k", "1"]
SAME = [
    "a$", r"^\s+$", r"\S", r"[\s]", r"[^\S]", r"[\s-z]", r"\v", r"[\v]", r"\101", r"\Q[$\E", r"\Qa",
    "[]a]", "[^]a]", "[[a]", "{1", "{", "a{0,1}", "(?P<n>a)", "(?i)a", "(?i:K)", r"\w", r"\W", r"\pL",
    r"[\]$]", r"\$", "(?s).", "$|a",
]  # fmt: skip


@pytest.mark.parametrize("text", SAME)
def test_the_portable_form_means_the_same(text: str) -> None:
    for subject in TEXTS:
        found = pattern.compile(text).search(subject) is not None
        assert found is (re2.search(text, subject) is not None), subject


def test_the_portable_form_ends_at_the_end() -> None:
    assert pattern.portable("a$") == r"a\z"
    assert pattern.portable(r"[$]\$") == r"[$]\$"


@pytest.mark.parametrize(
    "text",
    [
        "(", "a**", "(?=a)", "(?<!a)b", r"(a)\1", "a++", "(?m)^a", r"\B", r"\C", "^*", r"\z+", "(?i)+",
        "\x00", r"(?i)\pL", "(?i)[[:alpha:]]", "x" * 513, "(a{500}){500}", r"\p{Nonsense}",
    ],
)  # fmt: skip
def test_others_are_refused(text: str) -> None:
    with pytest.raises(BadRequestData, match=r"^regular expression"):
        pattern.compile(text)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert pattern.compile("(a+)+$").search("a" * 50_000 + "b") is None


def test_the_reason_is_told() -> None:
    with pytest.raises(BadRequestData, match=re.escape("missing )")):
        pattern.compile("(")
