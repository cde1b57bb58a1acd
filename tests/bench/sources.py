"""`python -m tests.bench.sources`: what registered context sources cost a request that concerns none of them.

CPU time of one core for `SourceIndex.concerned`, by the number of registrations and by what they are of, and
the memory that they take in a worker. No MongoDB, no HTTP.
"""

import gc
from collections.abc import Callable
from typing import Any

import psutil
from rich import print
from rich.table import Table

from broker.contexts.compiler import compile_context
from broker.core.federation.matching import Spec, spec_of_entity
from broker.core.federation.registration import Registration, read
from broker.core.federation.source import source
from broker.federation.source_index import SourceIndex
from broker.ports.sources import SourceChanges
from tests.bench.micro import cost

NUMBERS = (100, 10_000, 100_000)
NOW = "2026-07-01T12:00:00.000000"
CONTEXT = compile_context(None, {})
# The EntityInfo of the n-th registration.
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "id": lambda n: {"type": "Device", "id": f"urn:ngsi-ld:Device:{n:06}"},
    "type": lambda n: {"type": f"Device{n}"},
    "idPattern with a needle": lambda n: {
        "type": "Device",
        "idPattern": f"^urn:ngsi-ld:Device:city-{n:06}:.*",
    },
    "idPattern without one": lambda n: {
        "type": "Device",
        "idPattern": f"^urn:ngsi-ld:[Dd]evice:{n % 977}[x-z]+$",
    },
}
_BATCH = 1000  # registrations that are read and compiled together


def main() -> None:
    """Prints a table of kinds, and their cost and memory."""
    of_none, untyped = _asked(("Device", "Sensor")), _asked(())
    heads = [f"{n:,}" for n in NUMBERS]
    table = Table("registered by", *heads, "its type not known", "MB", title="µs of CPU for each request")
    for name, kind in KINDS.items():
        costs, before = [], _memory()
        for number in NUMBERS:
            before = _memory()
            index = index_of(kind, number)
            costs.append(_cost(index, of_none))
        table.add_row(
            name, *(f"{one:.1f}" for one in (*costs, _cost(index, untyped))), f"{_memory() - before:.0f}"
        )
    print(table)


def _asked(types: tuple[str, ...]) -> Spec:
    """A request for an entity that nobody has registered."""
    return spec_of_entity(
        "urn:ngsi-ld:Device:nobody-000001", map(CONTEXT.expand, types), (CONTEXT.expand("heat"),)
    )


def _cost(index: SourceIndex, spec: Spec) -> float:
    index.concerned(spec, (), NOW)
    return cost(lambda: index.concerned(spec, (), NOW))


def _memory() -> float:
    """The memory of this process in MB."""
    gc.collect()
    return float(psutil.Process().memory_info().rss / 1e6)


def index_of(kind: Callable[[int], dict[str, Any]], number: int) -> SourceIndex:
    """The index of so many registrations of a kind, which are loaded as from the store."""
    index = SourceIndex()
    for start in range(0, number, _BATCH):
        many = [source(_registration(n, kind(n))) for n in range(start, min(start + _BATCH, number))]
        index.update(SourceChanges(start, many))
    return index


def _registration(n: int, entity: dict[str, Any]) -> Registration:
    doc = {
        "id": f"urn:ngsi-ld:ContextSourceRegistration:{n:06}",
        "type": "ContextSourceRegistration",
        "information": [{"entities": [entity], "propertyNames": ["heat", "battery"]}],
        "endpoint": "http://127.0.0.1:1/",
        "contextSourceInfo": [{"key": "jsonldContext", "value": "http://127.0.0.1:1/context"}],
        "mode": "exclusive" if "id" in entity else "inclusive",
        "operations": ["retrieveOps", "updateOps"],
    }
    return read(doc, CONTEXT, "", NOW)


if __name__ == "__main__":
    main()
