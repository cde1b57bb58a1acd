"""Log lines, for people and for machines."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from broker.logs import request_id, setup_logs

logger = logging.getLogger("broker.test")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, broker = logging.root, logging.getLogger("broker")
    before = (root.handlers, root.level, broker.level)
    yield
    root.handlers, root.level, broker.level = before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_away_from_a_terminal() -> None:
    stream = io.StringIO()
    setup_logs(stream=stream)
    logger.info("it happened", extra={"entity": "urn:x", "count": 2, "odd": {1: object}})
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "broker.test",
        "event": "it happened",
        "entity": "urn:x",
        "count": 2,
        "odd": {"1": "<class 'object'>"},
    }


def test_colour_at_a_terminal() -> None:
    stream = Terminal()
    setup_logs(stream=stream)
    logger.warning("careful", extra={"reason": "two words"})
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d \x1b\[33mWARNING\x1b\[0m careful reason='two words'\n", stream.getvalue()
    )


def test_human_lines_in_a_file_have_no_colour_and_stay_lines() -> None:
    stream = io.StringIO()
    setup_logs(form="human", stream=stream)
    logger.error("first\nsecond", extra={"name_of": "a\nb"})
    assert stream.getvalue().endswith(" ERROR   first second name_of='a\\nb'\n")
    assert stream.getvalue().count("\n") == 1


def test_the_request_is_named_while_it_lasts() -> None:
    stream = io.StringIO()
    setup_logs(stream=stream)
    token = request_id.set("abc")
    logger.info("inside")
    request_id.reset(token)
    logger.info("outside")
    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert inside["request_id"] == "abc"
    assert "request_id" not in outside


def test_levels_are_ours_alone() -> None:
    stream = io.StringIO()
    setup_logs("debug", stream=stream)
    logger.debug("ours")
    logging.getLogger("another.library").info("theirs")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_a_traceback_belongs_to_its_line() -> None:
    stream = io.StringIO()
    setup_logs(stream=stream)
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    line = json.loads(stream.getvalue())
    assert line["event"] == "failed"
    assert line["traceback"].endswith("ValueError: no")
