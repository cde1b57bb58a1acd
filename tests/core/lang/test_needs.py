"""What must hold for a condition to have a chance."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.errors import BadRequestData
from broker.core.lang import pattern, q
from broker.core.lang.needs import Between, Need, OneOf, needle, needs
from tests.core.documents import few


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n==1", [OneOf("n", frozenset({1}))]),
        ('n==1,"a"', [OneOf("n", frozenset({1, "a"}))]),
        ("n==1..2", [Between("n", 1, 2)]),
        ("n>1;n<=5;m<3", [Between("n", 1, 5), Between("m", -inf, 3)]),
        ("n>1|m==2", []),
        ("(n==1|n==2);m==3", [OneOf("m", frozenset({3}))]),
        ("n!=1", []),
        ("!n", []),
        ("n", []),
        ("n.m==1", []),
        ("n[m]==1", []),
        ("n.observedAt>2026-01-01T00:00:00Z", []),
        ("n==2026-01-01", []),
        ('n=="a","2026-01-01T00:00:00Z"', []),
        ('n=="2026-01-01T00:00:00"', [OneOf("n", frozenset({"2026-01-01T00:00:00"}))]),
        ("n>2026-01-01", []),
        ('n>"a"', []),
        ('n~="a"', []),
    ],
)
def test_needs_of_queries(text: str, expected: list[Need]) -> None:
    assert needs(q.parse(text, str)) == expected
    assert needs(None) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("^urn:x:Room-17$", "urn:x:Room-17"),
        ("urn:x:.*", "urn:x:"),
        (r"urn:x\.y:\d+:ab", "urn:x.y:"),
        ("ab?cde", "cde"),
        ("abc*", "ab"),
        ("abc+d", "abc"),
        ("ab{2}", "a"),
        ("[abc]de", "de"),
        ("(abc)?de", "de"),
        ("(?:abc)de", "de"),
        ("abc|d", ""),
        ("(?i)abc", ""),
        (r"\x41bc", ""),
        (r"\pLbc", ""),
        (r"\Qa.c\E", ""),
        ("[[:alpha:]]bc", ""),
        ("", ""),
    ],
)
def test_needles_of_patterns(text: str, found: str) -> None:
    assert needle(text) == found


parts = st.sampled_from(
    [*"ab.^$?*+(){}-|", "ab", "{2}", "{0,1}", "(?:", "[ab]", "[^a]", r"\.", r"\d"],
)


@few
@given(st.lists(parts, max_size=8).map("".join), st.text("ab.-{}1", max_size=8))
def test_a_needle_is_in_whatever_matches(text: str, subject: str) -> None:
    try:
        compiled = pattern.compile(text)
    except BadRequestData:
        return
    if compiled.search(subject):
        assert needle(text) in subject
