"""Workers as they were before, for two parts: the simulation has to find what was wrong with them."""

from typing import Any

from broker.core.delivery.entry import Entry
from tests.simulation.worker import Worker

_TRIES = 5


class Forgetful(Worker):
    """Its settler forgets a batch that was refused five times."""

    def settle(self) -> None:
        """Writes down what is over."""
        batch, self.unwritten = self.unwritten, []
        tries = 0

        def apply() -> bool:
            for one in batch:
                self.store.remove(one.entry.entity_id, one.entry.id, one.subscription)
            return True

        def attempt() -> None:
            nonlocal tries
            tries += 1
            if tries > _TRIES:
                return done(None)
            if self.time.r.random() < self.trouble.error:
                return self.later(0.1, attempt)
            self.call(apply, done)

        def done(_: Any) -> None:
            self.machine.settled(batch)
            self.is_settling = bool(self.unwritten)
            if self.is_settling:
                self.later(0.02, self.settle)

        attempt()


class Uninformed(Worker):
    """A commit is not told of what was pending at other processes."""

    def announce(self, entry: Entry, earlier: list[Entry], is_whole: bool) -> None:
        """The machine hears of a commit."""
        own = [one for one in earlier if one.by == self.name]
        super().announce(entry, own, is_whole=True)
