"""How a context source has been asked so far (clause 5.2.9, table 5.2.9-2)."""

from dataclasses import dataclass

from broker.core import Json


@dataclass(slots=True)
class SourceTally:
    """Counts of the requests to a source for one registration, and the instants of the last responses."""

    sent: int = 0
    failed: int = 0
    last_success: str | None = None
    last_failure: str | None = None

    def note(self, at: str, *, has_failed: bool) -> None:
        """Counts a request whose outcome was known at an instant."""
        self.sent += 1
        self.failed += has_failed
        if has_failed:
            self.last_failure = at
        else:
            self.last_success = at

    def add(self, other: "SourceTally") -> None:
        """Adds the requests of another tally."""
        self.sent += other.sent
        self.failed += other.failed
        self.last_success = max(self.last_success or "", other.last_success or "") or None
        self.last_failure = max(self.last_failure or "", other.last_failure or "") or None

    def shown(self) -> dict[str, Json]:
        """The members of the registration; none before the first request."""
        if not self.sent:
            return {}
        times = {"lastSuccess": self.last_success, "lastFailure": self.last_failure}
        has_failed = (self.last_failure or "") > (self.last_success or "")
        return {
            "status": "failed" if has_failed else "ok",
            "timesSent": self.sent,
            "timesFailed": self.failed,
            **{name: at + "Z" for name, at in times.items() if at},
        }
