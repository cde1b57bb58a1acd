"""`python -m tests.bench.matching`: what it costs a write to find the subscriptions that it is due to.

CPU time of one core for `Index.due`, by the number of subscriptions and by what makes them selective; one of
them matches each write. The cost must not grow with their number. No MongoDB, no HTTP.
"""

from collections.abc import Callable
from typing import Any

from rich import print
from rich.table import Table

from broker.contexts.compiler import compile_context
from broker.core import Entity
from broker.core.change import Change
from broker.core.subscription import read
from broker.notify.index import Index
from broker.ports.changes import SubscriptionChanges
from tests.bench.micro import cost

NUMBERS = (100, 10_000, 100_000)
NOW, LATER = "2026-07-01T12:00:00.000000", "2026-07-01T12:00:01.000000"
OF_TYPE = [{"type": "Room"}]
# What the n-th subscription says, by what makes it selective.
KINDS: dict[str, Callable[[int], dict[str, Any]]] = {
    "type": lambda n: {"entities": [{"type": f"Room{n}"}]},
    "watched attribute": lambda n: {"entities": OF_TYPE, "watchedAttributes": [f"heat{n}"]},
    "id": lambda n: {"entities": [{"type": "Room", "id": f"urn:ngsi-ld:Room:{n:06}"}]},
    "idPattern, whole": lambda n: {"entities": [{"type": "Room", "idPattern": f"^urn:ngsi-ld:Room:{n:06}$"}]},
    "idPattern, a part": lambda n: {"entities": [{"type": "*", "idPattern": f".*:{n:06}.*"}]},
    "q, equal text": lambda n: {"entities": OF_TYPE, "q": f'name=="Room {n}"'},
    "q, equal number": lambda n: {"entities": OF_TYPE, "q": f"number=={n};heat>0"},
    "q, a range": lambda n: {"entities": OF_TYPE, "q": f"number>={n};number<{n + 1}"},
    "q, a threshold": lambda n: {"entities": OF_TYPE, "q": f"heat>{20 + n}"},
}


def main() -> None:
    """Prints a table of kinds and their cost."""
    table = Table("selective by", *(f"{n:,}" for n in NUMBERS), title="µs of CPU for each write")
    for name, kind in KINDS.items():
        table.add_row(name, *(f"{_cost(kind, n):.1f}" for n in NUMBERS))
    print(table)


def _cost(kind: Callable[[int], dict[str, Any]], number: int) -> float:
    index, change = index_of(kind, number), change_of(number // 2, number)
    assert len(index.triggered(change)) == 1, "one matches"
    return cost(lambda: index.triggered(change))


def index_of(kind: Callable[[int], dict[str, Any]], number: int) -> Index:
    """The index of so many subscriptions of a kind."""
    context = compile_context(None, {})
    endpoint = {"type": "Subscription", "notification": {"endpoint": {"uri": "http://127.0.0.1:1/"}}}
    index = Index()
    many = [read({**endpoint, **kind(n)}, context, f"urn:s:{n}", NOW) for n in range(number)]
    index.update(SubscriptionChanges(1, many, whole=True))
    return index


def change_of(n: int, number: int) -> Change:
    """An update of the n-th room, with ten attributes: its heat rises just over the first threshold."""
    context = compile_context(None, {})
    values: dict[str, Any] = {"name": f"Room {n}", "number": n, "heat": 20, **{f"a{i}": i for i in range(7)}}
    attrs = {context.expand(k): [{"type": "Property", "value": v}] for k, v in values.items()}
    entity_id, types = f"urn:ngsi-ld:Room:{n:06}", [context.expand("Room"), context.expand(f"Room{n}")]
    before: Entity = {
        "id": entity_id, "type": types, "createdAt": NOW, "modifiedAt": NOW, "attrs": attrs
    }  # fmt: skip
    new = {context.expand(one): [{"type": "Property", "value": 20.5}] for one in ("heat", f"heat{n}")}
    return Change(entity_id, before, {**before, "modifiedAt": LATER, "attrs": attrs | new}, LATER)


if __name__ == "__main__":
    main()
