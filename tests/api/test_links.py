"""The Link header (6.3.5, RFC 8288), read alone."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.core.errors import BadRequestData
from broker.core.jsonld.link_header import JSONLD_REL, linked_context

pytestmark = pytest.mark.clause("6.3.5")

PIECES = ["<http://x/c>", "<a>", JSONLD_REL, "rel", "next", " ", "é", "\udcff", *"<>;,='\"\\"]


@pytest.mark.parametrize(
    ("header", "url"),
    [
        (f'<http://x/c>; rel="{JSONLD_REL}"', "http://x/c"),
        (f"<http://x/c>;rel='{JSONLD_REL}'", "http://x/c"),
        (f"<http://x/c> ; REL = {JSONLD_REL}", "http://x/c"),
        (f'<http://x/c>; title="a, <b>; c"; rel="next {JSONLD_REL}"; x', "http://x/c"),
        (f'<n>; rel=next, , <http://x/c>; rel="{JSONLD_REL}",', "http://x/c"),
        ("<http://x/c>; rel=next", None),
        ("", None),
    ],
)
def test_links(header: str, url: str | None) -> None:
    assert linked_context(header) == url


@example("<http://x/\udcff>; rel=next")
@example("nonsense \udcff")
@example("<a>" + "; a  " * 2000 + "x")
@given(st.text(max_size=20) | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_whatever_is_sent_is_read_or_refused(header: str) -> None:
    url, detail = _read(header)
    assert url is None or f"<{url}>" in header
    assert detail is None or JSONLD_REL in detail or "one @context" in detail
    assert "\udcff" not in (detail or "")


def _read(header: str) -> tuple[str | None, str | None]:
    try:
        return linked_context(header), None
    except BadRequestData as error:
        return None, error.detail
