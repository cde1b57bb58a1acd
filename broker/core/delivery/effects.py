"""Effects: what the machine wants done, as data. The driver does it, and calls the event named here."""

from collections.abc import Set
from dataclasses import dataclass

from broker.core.delivery.entry import Entry
from broker.core.delivery.stream import Stream


@dataclass(slots=True)
class Offer:
    """Send the first entry of a stream when its lane has a turn for it: `started`, then `taken` or `failed`.

    Until `started`, the first entry may change, and the offer may be withdrawn.
    """

    stream: Stream


@dataclass(slots=True)
class Withdraw:
    """Do not send a stream that was offered to the lane of `uri` and has not been started."""

    stream: Stream
    uri: str


@dataclass(slots=True)
class Settle:
    """Write down that an entry is over for a subscription, and retry until that succeeds: `settled`.

    `reason`: why it is a dead letter; None if it is none. `is_finished`: the entry is over for all its
    subscriptions, as far as this copy of it knows.
    """

    entry: Entry
    subscription: str
    stream: Stream | None
    reason: str | None
    is_finished: bool


@dataclass(slots=True)
class Load:
    """Read the pending entries of an entity for any of `subscriptions`, with a rev above `after`: `loaded`.

    `is_recheck`: a few entries are enough, since they probably still belong to another process.
    """

    entity_id: str
    subscriptions: Set[str]
    after: int
    is_recheck: bool


@dataclass(slots=True)
class Fill:
    """Read a page of the entities with entries of this process for any of `subscriptions`: `filled`.

    The page has at most `limit` entities, in order, beginning after the entity `after`.
    """

    uri: str
    after: str
    subscriptions: Set[str]
    limit: int


@dataclass(slots=True)
class Forget:
    """Remove all that is pending for a subscription that is gone: `forgotten`."""

    subscription: str


@dataclass(slots=True)
class Proceed:
    """Let lanes start deliveries again: enough has been settled."""


Effect = Offer | Withdraw | Settle | Load | Fill | Forget | Proceed
