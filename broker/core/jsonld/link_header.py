"""The @context that a Link header names (clause 6.3.5; RFC 8288)."""

import re

from broker.core.errors import BadRequestData

JSONLD_REL = "http://www.w3.org/ns/json-ld#context"
# A warning of the response, and the key under which a request is marked for it.
IGNORED = f'199 - "Link: none of relation {JSONLD_REL}, so all names are of the core @context"'

# Possessive quantifiers (`++`) prevent backtracking, so matching takes linear time.
_VALUE = r"""(?:"(?:[^"\\]|\\.)*+"|'[^',;\s]*+'|[^"',;\s][^",;\s]*+)"""
_PARAM = rf"\s*+;\s*+(?:[\w!#$&+\-.^`|~]++\*?+\s*+(?:=\s*+{_VALUE})?+)?+"
_LINK = re.compile(rf"\s*+(?:<([^<>\s\ud800-\udfff]++)>((?:{_PARAM})*+))?+\s*+(?:,|\Z)")
_REL = re.compile(r""";\s*rel\s*=\s*(?:"([^"]*)"|'([^']*)'|([^",;\s]+))""", re.IGNORECASE)


def linked_context(header: str) -> str | None:
    """The URL of the link with JSON-LD's relation; None if no link has it.

    BadRequestData if the header is no list of links with a `rel` each, or names two @contexts. Single quotes
    are accepted as double ones (specs/doubts.md).
    """
    urls = [url for url, relations in _links(header) if JSONLD_REL in relations]
    if len(urls) > 1:
        raise BadRequestData("Link: expected one @context at most")
    return urls[0] if urls else None


def _links(header: str) -> list[tuple[str, list[str]]]:
    """The links of a header: (URL, relations). Empty list elements are skipped."""
    links, at = [], 0
    while at < len(header):
        if (link := _LINK.match(header, at)) is None:
            raise _malformed(header[at:])
        at = link.end()
        if link[1] is not None:
            links.append((link[1], _relations(link[2], link[0])))
    return links


def _relations(params: str, link: str) -> list[str]:
    if (rel := _REL.search(params)) is None:
        raise _malformed(link)
    return (rel[1] or rel[2] or rel[3] or "").split()


def _malformed(link: str) -> BadRequestData:
    form = f'<https://example.org/context.jsonld>; rel="{JSONLD_REL}"; type="application/ld+json"'
    return BadRequestData(f"Link: expected {form}, not {link.strip()[:200]!r}")
