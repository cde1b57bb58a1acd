"""ICU collations by name (RFC 6067, for clause 4.23): how texts of a language are put in order.

collation = language ["-" script] ["-" region] *("-" variant) ["-u-" *(key *("-" value))] ["-x-" anything]

`und` is the root collation, which is no language's own. Keys are those of the table KEYS; one that is not
among them would change the order, so it is refused rather than ignored.
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
    """A collation: a language (`und` for none), script and region if they are named, and keys with values."""

    language: str
    script: str = ""
    region: str = ""
    keys: tuple[tuple[str, str], ...] = ()


def parse(text: str) -> Collation:
    """The collation of a name in any case; BadRequestData if there is none of this name."""
    if len(text) > 100 or not _FORM.fullmatch(text):
        raise BadRequestData("collation: expected a name such as und, de-u-co-phonebk or fr-CA-u-ks-level1")
    language, *subtags = text.lower().partition("-x-")[0].split("-")
    end = subtags.index("u") if "u" in subtags else len(subtags)
    script = region = ""
    for one in subtags[:end]:
        if len(one) == 4 and one.isalpha() and not region:
            script = one.capitalize()
        elif re.fullmatch("[a-z]{2}|[0-9]{3}", one):
            region = one.upper()
        elif len(one) < 4:
            raise BadRequestData(f"collation: {one!r} is neither a script nor a region, nor a key behind -u-")
    return Collation(language, script, region, _keys(subtags[end + 1 :]))


def _keys(subtags: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    key = ""
    for one in subtags:
        if len(one) == 2:
            key, found[one] = one, ""
        else:
            found[key] = f"{found.get(key, '')}-{one}".strip("-")
    return tuple((key, _value(key, value)) for key, value in found.items())


def _value(key: str, value: str) -> str:
    if key not in KEYS:
        raise BadRequestData(f"collation: the key {key!r} is none of {', '.join(KEYS)}")
    allowed, value = KEYS[key], value or "true"
    if allowed is not None and value not in allowed:
        raise BadRequestData(f"collation: {value!r} is no value of {key}: {', '.join(sorted(allowed))}")
    return value
