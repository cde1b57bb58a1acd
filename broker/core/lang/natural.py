"""4.15 The NGSI-LD Language Filter: which text of a LanguageProperty is shown.

lang  = range *("," range)         ; as in an Accept-Language header (RFC 3282)
range = (tag / "*") [";q=" weight] ; a tag as in RFC 5646, in any case

Ranges are tried by their weights, equal ones in their order. A range takes the language that it names, else
a wider one (`nl` for `nl-BE`; RFC 4647, 3.4), else a narrower one (`en-US` for `en`). If none fits, or
for `*`, it is the default (`@none`), else English if the map has it, else the first language of the map.
"""

import re
from collections.abc import Collection
from itertools import takewhile

from broker.core.errors import BadRequestData

_WEIGHT = r"(?:;\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?"
_RANGE = re.compile(rf"\s*(\*|[A-Za-z]{{1,8}}(?:-[A-Za-z0-9]{{1,8}})*)\s*{_WEIGHT}")
_MOST = 50

Ranges = tuple[str, ...]


def parse(text: str) -> Ranges:
    """The ranges of a filter in lower case, the most wanted first; BadRequestData if it is none."""
    if text.count(",") >= _MOST:
        raise BadRequestData(f"lang: expected at most {_MOST} language tags")
    found = []
    for one in text.split(","):
        if (match := _RANGE.fullmatch(one)) is None:
            raise BadRequestData(f"lang: expected tags such as en or fr-CH;q=0.8, and {one!r} is none")
        found.append((-float(match[2] or 1), match[1].lower()))
    return tuple(tag for weight, tag in sorted(found, key=lambda pair: pair[0]) if weight) or ("*",)


def choose(ranges: Ranges, languages: Collection[str]) -> str:
    """The language of a languageMap, which is not empty, that suits the ranges best."""
    by_tag = {one.lower(): one for one in languages}
    wanted = (*takewhile("*".__ne__, ranges), "@none", "en")
    fitting = (_fitting(one, by_tag) for one in wanted)
    return next((one for one in fitting if one is not None), next(iter(languages)))


def _fitting(wanted: str, by_tag: dict[str, str]) -> str | None:
    """The language that a range takes: the very one, a wider or a narrower one; None if there is none."""
    for tag in _wider(wanted):
        if tag in by_tag:
            return by_tag[tag]
    return next((one for tag, one in by_tag.items() if tag.startswith(wanted + "-")), None)


def _wider(tag: str) -> list[str]:
    """The tag itself, and what is left as subtags are taken off; a lone letter goes with what it begins."""
    parts, found = tag.split("-"), []
    while parts:
        found.append("-".join(parts))
        parts.pop()
        if parts and len(parts[-1]) == 1:
            parts.pop()
    return found
