"""`python -m tests.bench.micro`: the CPU that the steps of a write and a read cost, for the bench's entity.

Process time of one core, the least of several rounds, since a machine is seldom quiet. No MongoDB, no HTTP.
"""

import asyncio
import time
from collections.abc import Callable

import bson
import orjson
from rich import print
from rich.table import Table

from broker.clock import Clock, Stamp
from broker.core.change import Change, removed, written
from broker.core.entity import parse, update
from broker.core.entity.view import View, view
from broker.core.jsonld.context import core
from broker.core.temporal.recording import Recording
from broker.store.history import records
from broker.store.wire import codec
from broker.store.writes.plan import Planner
from broker.store.writes.queue import RequestOutcomes, Write
from broker.store.writes.statements import statement
from broker.store.writes.stored import Stored
from tests.bench import workload
from tests.bench.growth import Nobody

ROUNDS, TIMES = 7, 500
NOW, LATER = "2026-07-01T12:00:00.000000", "2026-07-01T12:00:01.000000"


def main() -> None:
    """Prints a table of steps and their cost."""
    table = Table("step", "µs of CPU", title="one entity of 1.1 kB, 10 instances")
    for name, step in steps().items():
        table.add_row(name, f"{cost(step):.1f}")
    print(table)


def steps() -> dict[str, Callable[[], object]]:
    """The steps by name."""
    context = core()
    body = workload.entity(1)
    doc = orjson.loads(body)
    entity = parse.entity(doc, context)
    created = update.create(entity)(None, NOW).after
    assert created is not None
    replaced = update.upsert(entity)(created, LATER).after
    change = Change(entity["id"], created, replaced, LATER)
    new, gone = list(written(change)), list(removed(change))
    encoded = bson.encode(codec.encode_entity(created))
    judge = Planner(Nobody(), Clock(), "p" * 16, Recording())
    answer = RequestOutcomes(asyncio.new_event_loop().create_future(), 1)
    write = Write("", entity["id"], update.upsert(entity), 0.0, answer, 0)
    stored = {entity["id"]: Stored(created, 1, has_past=True, is_listed=True)}
    [draft] = judge.plan("", [write], stored).drafts.values()
    return {
        "JSON to Python": lambda: orjson.loads(body),
        "validate and expand": lambda: parse.entity(doc, context),
        "rule: create": lambda: update.create(entity)(None, NOW),
        "rule: replace": lambda: update.upsert(entity)(created, LATER),
        "find what changed": lambda: (list(written(change)), list(removed(change))),
        "history records": lambda: records.records(change, Stamp(1, 1), new, gone),
        "judge: replace": lambda: judge.plan("", [write], stored),
        "to a statement": lambda: statement(draft).guarded,
        "statement to BSON": lambda: bson.encode(statement(draft).guarded),
        "to the stored form": lambda: codec.encode_entity(created),
        "to BSON": lambda: bson.encode(codec.encode_entity(created)),
        "from BSON": lambda: codec.decode_entity(bson.decode(encoded)),
        "compact": lambda: view(created, context, View()),
        "Python to JSON": lambda: orjson.dumps(doc),
    }


def cost(step: Callable[[], object]) -> float:
    """The least CPU time of the step in µs."""
    return min(_round(step) for _ in range(ROUNDS)) / TIMES * 1e6


def _round(step: Callable[[], object]) -> float:
    began = time.process_time()
    for _ in range(TIMES):
        step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
