"""Logging: one line per event on stderr, readable at a terminal and JSON elsewhere."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

Format = Literal["auto", "human", "json"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the current task handles; every line that it logs shows it."""

_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup_logs(level: str = "info", form: Format = "auto", stream: TextIO | None = None) -> None:
    """Logs to `stream` (default stderr): the broker from `level` up, other libraries from warnings up."""
    stream = stream or sys.stderr
    human = form == "human" or (form == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter(colour=stream.isatty()) if human else JsonFormatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("broker").setLevel(level.upper())


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The additional fields of a record: those given as `extra`, and the request id."""
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if identifier := request_id.get():
        extra.setdefault("request_id", identifier)
    return extra


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, event, the fields, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class HumanFormatter(logging.Formatter):
    """`12:34:56 INFO    event key=value`, the level in colour at a terminal."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        words = [time, self._level(record.levelname), record.getMessage().replace("\n", " ")]
        words += [f"{name}={_quoted(value)}" for name, value in fields(record).items()]
        traceback = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return " ".join(words) + traceback

    def _level(self, name: str) -> str:
        shown = f"{name:<7}"
        return f"\x1b[{_COLOURS.get(name, '0')}m{shown}\x1b[0m" if self._colour else shown


def _quoted(value: object) -> str:
    text = str(value)
    return repr(text) if not text or any(sign.isspace() for sign in text) else text
