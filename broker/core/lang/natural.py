"""4.15 The NGSI-LD Language Filter: chooses the text of a LanguageProperty that is shown.

lang  = range *("," range)         ; as in an Accept-Language header (RFC 3282)
range = (tag / "*") [";q=" weight] ; a tag as in RFC 5646, in any case

Ranges are tried by descending weight, equal weights in their order. A range chooses the language that it
names, else a wider one (`nl` for `nl-BE`; RFC 4647, 3.4), else a narrower one (`en-US` for `en`). If no range
fits, and for `*`, the choice is the default (`@none`), else English, else the first language of the map.
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
    """The ranges of a filter in lower case, by descending weight. BadRequestData if it is not valid."""
    if text.count(",") >= _MOST:
        raise BadRequestData(f"lang: expected at most {_MOST} language tags")
    weighted = []
    for item in text.split(","):
        if (match := _RANGE.fullmatch(item)) is None:
            raise BadRequestData(f"lang: expected tags such as en or fr-CH;q=0.8, and {item!r} is none")
        weighted.append((-float(match[2] or 1), match[1].lower()))
    return tuple(tag for weight, tag in sorted(weighted, key=lambda pair: pair[0]) if weight) or ("*",)


def choose(ranges: Ranges, languages: Collection[str]) -> str:
    """The language that the ranges choose among the `languages` of a languageMap, which must not be empty."""
    by_tag = {language.lower(): language for language in languages}
    wanted = (*takewhile("*".__ne__, ranges), "@none", "en")
    fitting = (_fitting(tag, by_tag) for tag in wanted)
    return next((language for language in fitting if language is not None), next(iter(languages)))


def _fitting(wanted: str, by_tag: dict[str, str]) -> str | None:
    """The language that a range chooses: the same, a wider or a narrower one; None if there is none."""
    for tag in _wider(wanted):
        if tag in by_tag:
            return by_tag[tag]
    return next((language for tag, language in by_tag.items() if tag.startswith(wanted + "-")), None)


def _wider(tag: str) -> list[str]:
    """The tag, and its prefixes from long to short. A subtag of one letter is removed with its successor."""
    parts, prefixes = tag.split("-"), []
    while parts:
        prefixes.append("-".join(parts))
        parts.pop()
        if parts and len(parts[-1]) == 1:
            parts.pop()
    return prefixes
