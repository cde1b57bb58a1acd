"""A schedule: what happens in a world, by one seed."""

from collections.abc import Callable
from functools import partial
from random import Random

from tests.simulation.worker import Trouble, Worker
from tests.simulation.world import START, Receivers, Store, Time, Violation, Way, names

NewWorker = Callable[[str, Time, Store, Receivers, Trouble], Worker]
LEASE = 3.0  # seconds of silence after which a process is taken for dead
_SPAN = 8.0  # seconds in which things go wrong
_LONGEST = 400.0  # seconds in which everything must be over
_STEPS = 60_000
_MOODS = ("well", "well", "slow", "dead", "refuses", "moody", "late")


class Schedule:
    """Some workers, entities and subscriptions, and a few seconds in which anything may happen to them."""

    def __init__(self, seed: int, new_worker: NewWorker = Worker) -> None:
        self.r = Random(seed)
        self.time = Time(self.r)
        self.store = Store()
        self.receivers = Receivers(self.store)
        self.trouble = Trouble()
        self._new_worker = new_worker
        self._born = 0
        self.is_reconciled = self.r.random() < 0.5  # where nothing goes wrong, it has nothing to find
        self.workers: list[Worker] = []
        self.entities = names("e", self.r.randint(1, 4))
        self.uris = names("u", self.r.randint(1, 3))
        for one in names("s", self.r.randint(1, 4)):
            self.store.ways[one] = Way(self.r.choice(self.uris))
        for _ in range(self.r.randint(1, 3)):
            self.bear()

    def bear(self) -> None:
        """A worker begins."""
        self._born += 1
        worker = self._new_worker(f"p{self._born}", self.time, self.store, self.receivers, self.trouble)
        worker.skew = self.r.choice((0.0, 0.0, 3600.0, -3600.0, 2.0))
        self.workers.append(worker)
        if self.is_reconciled:
            self._reconcile(worker)
        worker.survey("")

    def run(self) -> None:
        """Raises Violation if an invariant does not hold."""
        for _ in range(self.r.randint(5, 25)):
            self.time.after(self.r.random() * _SPAN, self._write)
        faults = (
            self._kill, self._stop, self._mood, self._mood, self._mood, self._error, self._lose,
            self._pause, self._move, self._delete, self._refresh,
        )  # fmt: skip
        for _ in range(self.r.randint(0, 8)):
            self.time.after(self.r.random() * _SPAN, self.r.choice(faults))
        while self.time.now < START + _SPAN:
            if not self.time.step():
                break
        self._heal()
        while not self._is_over():
            if not self.time.step() or self.time.now > START + _LONGEST or self.time.steps > _STEPS:
                raise Violation(f"not over after {self.time.now - START:.0f} s: {self.store.pending}")
        self.receivers.check_all(self.store.ways.keys())
        for worker in self.workers:
            worker.check_rest()

    def _is_over(self) -> bool:
        if self.store.pending or any(worker.writing for worker in self.workers):
            return False
        return all(
            not worker.machine.unsettled and not worker.memory.held and not worker.is_settling
            and not any(one.is_behind or one.is_paging for one in worker.machine._table.buffers.values())
            for worker in self.workers
        )  # fmt: skip

    def _heal(self) -> None:
        self.trouble.error = self.trouble.lost = 0.0
        self.receivers.behaviour.clear()
        for worker in self.workers:
            if worker.is_stopped:
                self._continue(worker)
        for one, way in self.store.ways.items():
            self.store.ways[one] = Way(way.uri)
        for worker in self.workers:
            worker.refresh()

    def _write(self) -> None:
        worker, entity_id = self.r.choice(self.workers), self.r.choice(self.entities)
        for n in range(self.r.choice((1, 1, 1, 6))):
            self.time.after(n * 0.05, partial(worker.write, entity_id))

    def _reconcile(self, worker: Worker) -> None:
        def look() -> None:
            worker.survey()
            worker.later(3.0, look)

        worker.later(3.0 * self.r.random(), look)

    # What may happen

    def _kill(self) -> None:
        worker = self.r.choice(self.workers)
        worker.is_dead = True
        self.workers.remove(worker)
        self.bear()
        self.time.after(LEASE * self.r.random(), partial(self._bury, worker.name))

    def _stop(self) -> None:
        """A process is stopped beyond its lease; when it goes on, it finds that out a little later."""
        worker = self.r.choice(self.workers)
        if worker.is_stopped or len(self.workers) == 1:
            return
        worker.stop()
        if self.r.random() < 0.7:
            self.time.after(LEASE, partial(self._bury, worker.name))
        self.time.after(LEASE * (0.5 + self.r.random()), partial(self._continue, worker))

    def _continue(self, worker: Worker) -> None:
        if worker.is_stopped:
            worker.go_on()
            worker.later(self.r.random() * 2, worker.lapse)

    def _bury(self, dead: str) -> None:
        """Some heir adopts what a process left, entity by entity, and looks for it then."""
        living = [one for one in self.workers if not one.is_stopped and one.name != dead]
        if not living:
            self.time.after(0.5, partial(self._bury, dead))
            return
        heir = self.r.choice(living)
        rest = list(self.entities)
        self.r.shuffle(rest)

        def go_on() -> None:
            if heir.is_dead:
                self._bury(dead)
            elif heir.is_stopped:
                self.time.after(0.5, go_on)
            elif rest:
                self.store.adopt(rest.pop(), (dead,), heir.name)
                self.time.after(0.01, go_on)
            else:
                heir.survey("")
                if any(one.by == dead for many in self.store.pending.values() for one in many) and not any(
                    one.name == dead for one in self.workers
                ):
                    self.time.after(0.5, partial(self._bury, dead))  # it committed late

        go_on()

    def _mood(self) -> None:
        self.receivers.behaviour[self.r.choice(self.uris)] = self.r.choice(_MOODS)

    def _error(self) -> None:
        """The store answers with errors for some seconds."""
        self.trouble.error = self.r.choice((0.3, 0.9, 1.0))
        self.time.after(6 * self.r.random(), partial(setattr, self.trouble, "error", 0.0))

    def _lose(self) -> None:
        """Answers of the store are lost for some seconds."""
        self.trouble.lost = self.r.choice((0.2, 0.7))
        self.time.after(3 * self.r.random(), partial(setattr, self.trouble, "lost", 0.0))

    def _pause(self) -> None:
        if self.store.ways:
            one = self.r.choice(sorted(self.store.ways))
            self.store.ways[one] = Way(self.store.ways[one].uri, not self.store.ways[one].is_paused)
            self._refresh()

    def _move(self) -> None:
        if self.store.ways:
            one = self.r.choice(sorted(self.store.ways))
            self.store.ways[one] = Way(self.r.choice(self.uris), self.store.ways[one].is_paused)
            self._refresh()

    def _delete(self) -> None:
        if self.store.ways:
            del self.store.ways[self.r.choice(sorted(self.store.ways))]
            self._refresh()

    def _refresh(self) -> None:
        self.r.choice(self.workers).refresh()
