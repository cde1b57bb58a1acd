"""What the machine wants done, as data. Whoever drives it does so, and reports by the event that is named."""

from collections.abc import Set
from dataclasses import dataclass

from broker.core.delivery.entry import Entry
from broker.core.delivery.stream import Stream


@dataclass(slots=True)
class Offer:
    """The first entry of a stream may be sent, when its lane has a turn for it: `started`, then `taken`,
    `refused` or `failed`. Until then it may change, or be withdrawn."""

    stream: Stream


@dataclass(slots=True)
class Withdraw:
    """A stream that was offered to a lane, and was not started, is not to be sent."""

    stream: Stream
    uri: str


@dataclass(slots=True)
class Settle:
    """An entry is over for a subscription: to be written down, however often that is refused: `settled`.

    `reason`: it is a dead letter. `is_finished`: it is over for all that it was due to.
    """

    entry: Entry
    subscription: str
    stream: Stream | None
    reason: str | None
    is_finished: bool


@dataclass(slots=True)
class Load:
    """The pending entries of an entity that are due to any of these, with a rev above `after`: `loaded`.

    `is_look`: the first few are enough, for it is likely that they are another process's still.
    """

    entity_id: str
    subscriptions: Set[str]
    after: int
    is_look: bool


@dataclass(slots=True)
class Fill:
    """Entities, in order, after one, with entries of this process that are due to any of these: `filled`."""

    uri: str
    after: str
    subscriptions: Set[str]
    limit: int


@dataclass(slots=True)
class Forget:
    """A subscription is gone: nothing is due to it any more."""

    subscription: str


@dataclass(slots=True)
class Proceed:
    """Enough is settled: lanes may start deliveries again."""


Effect = Offer | Withdraw | Settle | Load | Fill | Forget | Proceed
