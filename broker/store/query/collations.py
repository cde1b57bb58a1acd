"""ICU collations for MongoDB, and filters whose meaning does not depend on the collation.

MongoDB applies the collation of an operation to its filter, too, and then uses no index for comparisons of
strings. Regular expressions ignore the collation and can use indexes. So `exact` replaces each comparison
with a string by a regular expression. A locale without rules in MongoDB gets those of ICU's root, as in CLDR.
"""

import re
from collections.abc import Callable
from typing import Any

from bson import Regex

from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang.collation import Collation

Filter = dict[str, Any]

_ROOT = "en"  # has no rules of its own
_LOCALES = frozenset(
    "af am ar as az be bg bn bo bs bs_Cyrl ca chr cs cy da de de_AT dsb dz ee el en en_US eo es et"
    " fa fa_AF fi fil fo fr fr_CA ga gl gu ha haw he hi hr hsb hu hy id ig is it ja ka kk kl km kn ko"
    " kok ky lb lkt ln lo lt lv mk ml mn mr ms mt my nb ne nl nn om or pa pl ps pt ro ru se si sk sl"
    " smn sq sr sr_Latn sv sw ta te th to tr ug uk ur vi wae yi yo zh zh_Hant zu".split()
)
_KINDS = {  # name in RFC 6067: (name in MongoDB, languages that have it; "" for all)
    "phonebk": ("phonebook", "de de_AT"),
    "trad": ("traditional", "bn es fi kn vi"),
    "dict": ("dictionary", "si"),
    "phonetic": ("phonetic", "ln"),
    "unihan": ("unihan", "ja ko zh zh_Hant"),
    "stroke": ("stroke", "zh"),
    "zhuyin": ("zhuyin", "zh zh_Hant"),
    "pinyin": ("pinyin", "zh_Hant"),
    "gb2312": ("gb2312han", "zh zh_Hant"),
    "big5han": ("big5han", "zh zh_Hant"),
    "compat": ("compat", "ar"),
    "eor": ("eor", ""),
    "emoji": ("emoji", ""),
    "search": ("search", ""),
}
_STRENGTHS = {"level1": 1, "level2": 2, "level3": 3, "level4": 4, "identic": 5}
_MEMBERS = {"ka": "alternate", "kb": "backwards", "kc": "caseLevel", "kf": "caseFirst", "kk": "normalization",
            "kn": "numericOrdering", "kv": "maxVariable"}  # fmt: skip
_WORDS = {"true": True, "false": False, "noignore": "non-ignorable"}
_LONGEST = 200  # characters of a text that a query compares by < or > in a collation


def mongo_collation(collation: Collation) -> dict[str, Any]:
    """The collation in MongoDB's form; BadRequestData if the language does not have the kind."""
    language = "en" if collation.language in ("und", "root") else collation.language
    named = (f"{language}_{part}" for part in (collation.script, collation.region) if part)
    locale = next((candidate for candidate in (*named, language) if candidate in _LOCALES), _ROOT)
    rules: dict[str, Any] = {"locale": locale, "strength": 3}
    for key, value in collation.keys:
        if key == "co":
            rules["locale"] = locale + _kind(locale, value)
        elif key == "ks":
            rules["strength"] = _STRENGTHS[value]
        else:
            rules[_MEMBERS[key]] = "off" if (key, value) == ("kf", "false") else _WORDS.get(value, value)
    if rules["strength"] < 3 and not rules.get("caseLevel"):
        rules.pop("caseFirst", None)  # makes no difference there, and MongoDB refuses it
    if rules["strength"] == 1:
        rules["backwards"] = False
    return rules


def _kind(locale: str, value: str) -> str:
    if value == "standard":
        return ""
    name, locales = _KINDS.get(value, ("", "none"))
    if locales and locale not in locales.split():
        raise BadRequestData(f"collation: there is no {value!r} order for {locale}")
    return f"@collation={name}"


def exact(wanted: Filter) -> Filter:
    """The filter with regular expressions in place of comparisons with strings; `$expr` is not changed."""
    return {name: _exact(name, value) for name, value in wanted.items()}


def _exact(name: str, value: Any) -> Any:
    if name in ("$expr", "$regex", "$type", "$exists") or name.startswith("$geo"):
        return value
    if isinstance(value, str):
        return Regex(f"^{_literal(value)}\\z")
    if isinstance(value, list):
        return [exact(item) if isinstance(item, dict) else _exact("", item) for item in value]
    if isinstance(value, dict):
        return _conditions(value)
    return value


def _conditions(value: Filter) -> Filter:
    """The operators on one member. Orders of strings become a $regex, of which there may be several."""
    texts = [
        _ORDERED[name](operand)
        for name, operand in value.items()
        if name in _ORDERED and isinstance(operand, str)
    ]
    others = {
        name: _exact(name, operand)
        for name, operand in value.items()
        if not (name in _ORDERED and isinstance(operand, str)) and not (texts and name == "$regex")
    }
    if not texts:
        return others
    if "$regex" in value:
        texts.append(value["$regex"])
    return {**others, "$regex": "".join(f"(?={text})" for text in texts)}


def _literal(text: str) -> str:
    return re.sub(
        r"[^\w]", lambda sign: "\\" + sign[0] if sign[0] > " " else f"\\x{{{ord(sign[0]):x}}}", text
    )


def _greater(text: str) -> str:
    """A pattern for the texts that are greater by code point."""
    steps = [
        f"{_literal(text[:n])}[\\x{{{_next(character):x}}}-\\x{{10ffff}}]"
        for n, character in enumerate(_bounded(text))
    ]
    return f"(?s)^(?:{'|'.join([*steps, _literal(text) + '.'])})"


def _less(text: str) -> str:
    steps = []
    for n, character in enumerate(_bounded(text)):
        lower = f"|[\\x{{0}}-\\x{{{ord(character) - 1:x}}}]" if character > "\x00" else ""
        steps.append(f"{_literal(text[:n])}(?:\\z{lower})")
    return f"(?s)^(?:{'|'.join(steps)})" if steps else "(?!)"


def _next(character: str) -> int:
    return 0xE000 if character == "\ud7ff" else min(ord(character) + 1, 0x10FFFF)


def _bounded(text: str) -> str:
    if len(text) > _LONGEST:
        raise TooComplexQuery(f"q: expected texts of at most {_LONGEST} characters to compare in a collation")
    return text


_ORDERED: dict[str, Callable[[str], str]] = {
    "$eq": lambda text: f"^{_literal(text)}\\z",
    "$gt": _greater,
    "$lt": _less,
    "$gte": lambda text: f"(?:{_greater(text)}|^{_literal(text)}\\z)",
    "$lte": lambda text: f"(?:{_less(text)}|^{_literal(text)}\\z)",
}
