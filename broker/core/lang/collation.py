"""ICU collations by name (RFC 6067, for clause 4.23): the order of texts of a language.

collation = language ["-" script] ["-" region] *("-" variant) ["-u-" *(key *("-" value))] ["-x-" anything]

`und` is the root collation, of no particular language. Other keys than those of the table KEYS are refused
and not ignored, since a key changes the order.
"""

import re
from dataclasses import dataclass

from broker.core.errors import BadRequestData

_FORM = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_SWITCH = frozenset({"true", "false"})
KEYS: dict[str, frozenset[str] | None] = {
    "co": None,  # the kind of order: phonebk, trad, stroke …
    "ks": frozenset({"level1", "level2", "level3", "level4", "identic"}),  # which differences count
    "ka": frozenset({"noignore", "shifted"}),  # whether punctuation counts
    "kb": _SWITCH,  # accents from the end, as in French
    "kc": _SWITCH,  # case as a level of its own
    "kf": frozenset({"upper", "lower", "false"}),  # which case comes first
    "kk": _SWITCH,  # normalization
    "kn": _SWITCH,  # digits as numbers
    "kv": frozenset({"space", "punct"}),  # what ka=shifted leaves out
}


@dataclass(frozen=True, slots=True)
class Collation:
    """A collation: its language (`und`: none), script and region (may be empty), and (key, value) pairs."""

    language: str
    script: str = ""
    region: str = ""
    keys: tuple[tuple[str, str], ...] = ()


def parse(text: str) -> Collation:
    """The collation of a name in upper or lower case. BadRequestData if there is none."""
    if len(text) > 100 or not _FORM.fullmatch(text):
        raise BadRequestData("collation: expected a name such as und, de-u-co-phonebk or fr-CA-u-ks-level1")
    language, *subtags = text.lower().partition("-x-")[0].split("-")
    end = subtags.index("u") if "u" in subtags else len(subtags)
    script = region = ""
    for subtag in subtags[:end]:
        if len(subtag) == 4 and subtag.isalpha() and not region:
            script = subtag.capitalize()
        elif re.fullmatch("[a-z]{2}|[0-9]{3}", subtag):
            region = subtag.upper()
        elif len(subtag) < 4:
            raise BadRequestData(
                f"collation: {subtag!r} is neither a script nor a region, nor a key behind -u-"
            )
    return Collation(language, script, region, _keys(subtags[end + 1 :]))


def _keys(subtags: list[str]) -> tuple[tuple[str, str], ...]:
    values: dict[str, str] = {}
    key = ""
    for subtag in subtags:
        if len(subtag) == 2:
            key, values[subtag] = subtag, ""
        else:
            values[key] = f"{values.get(key, '')}-{subtag}".strip("-")
    return tuple((key, _value(key, value)) for key, value in values.items())


def _value(key: str, value: str) -> str:
    if key not in KEYS:
        raise BadRequestData(f"collation: the key {key!r} is none of {', '.join(KEYS)}")
    allowed, value = KEYS[key], value or "true"
    if allowed is not None and value not in allowed:
        raise BadRequestData(f"collation: {value!r} is no value of {key}: {', '.join(sorted(allowed))}")
    return value
