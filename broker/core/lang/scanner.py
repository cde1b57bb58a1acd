"""A scanner for the small languages of queries: regular expressions tried at a moving position."""

import re
from typing import NoReturn

from broker.core.errors import BadRequestData


class Scanner:
    """A text and how far it has been read. Spaces between tokens mean nothing."""

    __slots__ = ("_text", "_what", "at")

    def __init__(self, what: str, text: str) -> None:
        self._what = what  # the name of the parameter, for error messages
        self._text = text
        self.at = 0

    def take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        """The token, if it comes next."""
        self._skip()
        if found := token.match(self._text, self.at):
            self.at = found.end()
        return found

    def takes(self, sign: str) -> bool:
        """Whether this sign came next; it is behind us then."""
        self._skip()
        if not self._text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def need(self, sign: str) -> None:
        """Goes past a sign. Raises BadRequestData when something else comes next."""
        if not self.takes(sign):
            self.fail(sign)

    def between(self, start: int) -> str:
        """What was read since a position, without the spaces around it."""
        return self._text[start : self.at].strip()

    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        self._skip()
        return self.at == len(self._text)

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        """Tells the client where the text stopped making sense, and what would have made sense."""
        where = self.at if at is None else at
        found = repr(self._text[where : where + 20]) if where < len(self._text) else "its end"
        raise BadRequestData(f"{self._what}, character {where + 1}: expected {expected}, found {found}")

    def _skip(self) -> None:
        while self._text.startswith(" ", self.at):
            self.at += 1
