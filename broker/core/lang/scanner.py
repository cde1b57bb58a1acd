"""A scanner for the query languages: it tries regular expressions at the present position of a text."""

import re
from typing import NoReturn

from broker.core.errors import BadRequestData


class Scanner:
    """A text, and the position up to which it has been read (`at`). Spaces between tokens are ignored."""

    __slots__ = ("_text", "_what", "at")

    def __init__(self, what: str, text: str) -> None:
        self._what = what  # the name of the parameter, for error messages
        self._text = text
        self.at = 0

    def take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        """The match of a token if it comes next, which is read then; else None."""
        self._skip()
        if match := token.match(self._text, self.at):
            self.at = match.end()
        return match

    def takes(self, sign: str) -> bool:
        """Whether this sign comes next; if so, it is read."""
        self._skip()
        if not self._text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def need(self, sign: str) -> None:
        """Reads a sign. BadRequestData if something else comes next."""
        if not self.takes(sign):
            self.fail(sign)

    def between(self, start: int) -> str:
        """The text read since a position, without spaces around it."""
        return self._text[start : self.at].strip()

    def is_at_end(self) -> bool:
        """Whether all of the text has been read."""
        self._skip()
        return self.at == len(self._text)

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        """Raises BadRequestData with the position of the fault (default: the present one)."""
        where = self.at if at is None else at
        actual = repr(self._text[where : where + 20]) if where < len(self._text) else "its end"
        raise BadRequestData(f"{self._what}, character {where + 1}: expected {expected}, found {actual}")

    def _skip(self) -> None:
        while self._text.startswith(" ", self.at):
            self.at += 1
