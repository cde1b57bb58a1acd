"""Which sources are not asked for a while, since they failed (6.3.17). Times are seconds of any one clock.

A registration may ask for a cooldown after any failure. Unasked for, a circuit breaker spares endpoints that
do not answer: the third time in a row opens it, and then one request at a time probes whether they do again.
"""

from dataclasses import dataclass
from enum import Enum

from broker.core.federation.source import Source

Key = tuple[str, str]  # the endpoint, and the tenant there

_OPENS_AT = 3  # requests in a row without an answer
_FIRST, _LONGEST = 1.0, 30.0  # seconds; each failed probe doubles the pause
_MOST = 10_000  # circuits and cooldowns that are kept


class Outcome(Enum):
    """What became of a request, as far as it tells about its endpoint."""

    ANSWERED = "there was an answer, whatever it was"
    SILENT = "no answer came"
    UNKNOWN = "it was not sent to the end, or the connection was refused"


@dataclass(slots=True)
class _Circuit:
    """`pause`: seconds for which it was opened last; 0: it is closed. `probing`: a probe is under way."""

    silences: int = 0
    pause: float = 0.0
    until: float = 0.0
    probing: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that the breaker let through; its outcome is told to `Breaker.settle`."""

    key: Key
    is_probe: bool


class Breaker:
    """The circuits of all endpoints. Only requests without an answer count; any answer closes a circuit."""

    def __init__(self) -> None:
        self._circuits: dict[Key, _Circuit] = {}

    def admit(self, key: Key, now: float) -> Attempt | None:
        """The attempt to make; None if the endpoint must not be asked now."""
        circuit = self._circuits.get(key)
        if circuit is None or not circuit.pause:
            return Attempt(key, is_probe=False)
        if now < circuit.until or circuit.probing:
            return None
        circuit.probing = True
        return Attempt(key, is_probe=True)

    def settle(self, attempt: Attempt, outcome: Outcome, now: float) -> None:
        """Takes the outcome of an attempt into account."""
        if outcome is Outcome.ANSWERED:
            self._circuits.pop(attempt.key, None)
        elif outcome is Outcome.SILENT:
            self._silent(attempt, now)
        elif attempt.is_probe and (circuit := self._circuits.get(attempt.key)) is not None:
            circuit.probing = False

    def _silent(self, attempt: Attempt, now: float) -> None:
        circuit = self._circuits.setdefault(attempt.key, _Circuit())
        circuit.silences += 1
        if attempt.is_probe or (not circuit.pause and circuit.silences >= _OPENS_AT):
            circuit.pause = min(circuit.pause * 2 or _FIRST, _LONGEST)
            circuit.until = now + circuit.pause
            circuit.probing = False
        if len(self._circuits) > _MOST:
            self._circuits = {key: each for key, each in self._circuits.items() if each.until > now}


class Cooldowns:
    """Sources that failed, and until when they are not asked again (5.2.34).

    A registration that is changed is another Source: its cooldown ends with the change.
    """

    def __init__(self) -> None:
        # By the identity of the source, which the entry keeps alive: ids are unique in one tenant only.
        self._cooling: dict[int, tuple[Source, float]] = {}

    def is_cooling(self, source: Source, now: float) -> bool:
        """Whether the source must not be asked now."""
        _, until = self._cooling.get(id(source), (source, now))
        return until > now

    def failed(self, source: Source, cooldown: float, now: float) -> None:
        """Begins a cooldown of so many seconds."""
        self._cooling[id(source)] = (source, now + cooldown)
        if len(self._cooling) > _MOST:
            self._cooling = {key: entry for key, entry in self._cooling.items() if entry[1] > now}
