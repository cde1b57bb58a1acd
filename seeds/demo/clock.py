"""The time of the story: a week in July 2026, in local time and in NGSI-LD's format."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

LOCAL = timezone(timedelta(hours=2), "CEST")
START = datetime(2026, 7, 6, tzinfo=LOCAL)  # a Monday


def local_hour(when: datetime) -> float:
    """The hour of the day, with its minutes as a fraction."""
    local = when.astimezone(LOCAL)
    return local.hour + local.minute / 60


def stamp(when: datetime) -> str:
    """A time in NGSI-LD's format: in UTC, ending in Z."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def said(when: datetime) -> str:
    """A local time for people to read."""
    return when.astimezone(LOCAL).strftime("%a %d %b %H:%M")
