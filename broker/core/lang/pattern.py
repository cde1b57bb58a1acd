"""Regular expressions of clients (clause 4.9, RegExp; idPattern), run without a backtracking engine.

RE2 checks them, and runs them in the broker; MongoDB runs PCRE. So a pattern is rewritten to a text that both
engines interpret alike (`portable`), and both get this text. RE2 refuses what only PCRE knows (look-around,
back-references …). What the engines interpret differently is refused, too, if there is no common notation.
\\d, \\w and \\b mean ASCII characters, \\pL and its like Unicode characters.
"""

import re
from functools import lru_cache
from typing import NoReturn, Protocol

import re2

from broker.core.errors import BadRequestData

_LONGEST = 512
_MEMORY = 1 << 20  # bytes that RE2 may take for one pattern
_CACHED = 1024  # patterns


class Pattern(Protocol):
    """A compiled pattern."""

    def search(self, text: str) -> object | None:
        """A match (truthy) if the pattern matches a part of the text; else None."""


@lru_cache(_CACHED)
def compile(text: str) -> Pattern:
    """The compiled pattern. BadRequestData if it is not valid or not supported."""
    pattern: Pattern = _re2(portable(text), text)
    return pattern


@lru_cache(_CACHED)
def portable(text: str) -> str:
    """The pattern in a form that RE2 and PCRE interpret alike. BadRequestData as in `compile`."""
    if len(text) > _LONGEST:
        raise BadRequestData(f"regular expression: expected at most {_LONGEST} characters, not {len(text)}")
    if "\x00" in text:
        raise BadRequestData("regular expression: expected no NUL character; \\x00 stands for one")
    _re2(text, text)
    return _TOKEN.sub(_rewritten, text)


def _re2(pattern: str, shown: str) -> Pattern:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        compiled: Pattern = re2.compile(pattern, options)
    except re2.error as error:
        raise BadRequestData(f"regular expression {shown!r}: {_reason(error)}") from error
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "not understood"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


_ESCAPE = r"\\[0-7]{1,3}|\\[pPx]\{[^}]*\}|\\."
_QUANTIFIER = r"[*+?]|\{[0-9]"
_TOKEN = re.compile(
    rf"""(?P<quoted>\\Q.*?(?:\\E|\Z))
    | (?P<repeated>(?:\^|\$|\\[AbBz]|\(\?[a-zA-Z-]+\))(?={_QUANTIFIER}))
    | (?P<escape>{_ESCAPE})
    | (?P<set>\[\^?\]?(?:\[:\^?[a-z]+:\]|{_ESCAPE}|[^\]\\])*\])
    | (?P<named>\(\?P?<[^>]*>) | (?P<flags>\(\?[a-zA-Z-]+[:)])
    | (?P<repeat>\{{[0-9]+(?:,[0-9]*)?\}}) | (?P<brace>\{{) | (?P<end>\$)""",
    re.VERBOSE | re.DOTALL,
)
_SET_TOKEN = re.compile(rf"(?P<escape>{_ESCAPE})|(?P<posix>\[:\^?[a-z]+:\])|(?P<bracket>\[)", re.DOTALL)
_CASELESS = re.compile(r"\(\?[a-zA-Z]*i")

# PCRE's \s contains the vertical tab, RE2's does not; PCRE's \v is a set of characters, RE2's is one.
# With the flag i, RE2 counts non-ASCII letters that fold to ASCII as \w and not as \W; PCRE does not.
_OUTSIDE = {
    r"\s": r"[\t\n\f\r ]",
    r"\S": r"[^\t\n\f\r ]",
    r"\v": r"\x0b",
    r"\w": "[0-9A-Za-z_]",
    r"\W": "[^0-9A-Za-z_]",
}
_INSIDE = {r"\s": r"\n\f\r[:blank:]", r"\S": r"\x0b\S", r"\v": r"\x0b"}


def _refuse(what: str) -> NoReturn:
    raise BadRequestData(f"regular expression: {what} is not supported")


def _rewritten(token: re.Match[str]) -> str:
    text = token[0]
    match token.lastgroup:
        case "quoted":
            return "".join(f"\\x{{{ord(c):x}}}" for c in text[2:].removesuffix("\\E"))
        case "repeated":
            _refuse(f"repeating {text}, which stands for no character,")
        case "escape":
            return _escape(token, _OUTSIDE)
        case "set":
            return _set(token)
        case "named":
            return "("  # PCRE has other rules for names, and the names are not used
        case "flags" if "m" in text:
            _refuse("the flag m")
    return {"{": r"\{", "$": r"\z"}.get(text, text)


def _escape(token: re.Match[str], table: dict[str, str]) -> str:
    text = token[0]
    if text[1] in "01234567":  # PCRE takes it for a back-reference if there are enough groups
        return f"\\x{{{int(text[1:], 8):x}}}"
    if text in (r"\C", r"\B"):  # in RE2 they work on bytes
        _refuse(text)
    if text[1] in "pP" and _CASELESS.search(token.string):
        _refuse(f"{text[:2]} with the flag i")
    return table.get(text, text)


def _set(token: re.Match[str]) -> str:
    text = token[0]
    if _CASELESS.search(token.string) and _FOLDED.search(text):
        _refuse(f"the set {text} with the flag i")
    opening = "[^" if text.startswith("[^") else "["
    body = text[len(opening) : -1]
    first = r"\]" if body.startswith("]") else ""
    return opening + first + _SET_TOKEN.sub(_in_set, body.removeprefix("]") if first else body) + "]"


def _in_set(token: re.Match[str]) -> str:
    if token.lastgroup == "escape":
        return _escape(token, _INSIDE)
    return r"\[" if token.lastgroup == "bracket" else token[0]


# Sets whose case folding differs in RE2 and PCRE.
_FOLDED = re.compile(r"\\[wWpP]|\[:")
