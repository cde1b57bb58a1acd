"""The scenarios: what each one sends, and the proof that the broker really did it.

A scenario is its own request factory: calling it gives the next request. After its run, `check` looks
at a sample of the answers or reads back what was written, since a bench that measures error pages, or
a broker that forgets, is worth nothing. `target` is the least ratio to the bare handler's requests/s.
"""

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.bench import workload
from tests.bench.client import Load, Message, call, head, run_load

ENTITIES = "/ngsi-ld/v1/entities"
EVOLUTIONS = "/ngsi-ld/v1/temporal/entities"
BATCH = 100
LAST = 100
SAMPLED = 20  # entities read back after a load of writes


class WrongAnswer(Exception):
    """The broker answered 2xx, but not what was asked for."""


def expect(holds: bool, what: str) -> None:
    """Raise WrongAnswer unless it holds."""
    if not holds:
        raise WrongAnswer(what)


@dataclass
class Target:
    """The broker under load and the entities it holds."""

    port: int
    entities: int
    run: str
    tenant: str = ""
    latest: dict[int, float] = field(default_factory=dict)  # the value last written, by entity

    async def get(self, path: str) -> Any:
        """GET, and give the JSON body of a 200."""
        answer = await call(self.port, head("GET", path, tenant=self.tenant))
        expect(answer.status == 200, f"GET {path} answers {answer.status}: {answer.body[:200]!r}")
        return json.loads(answer.body)

    async def preload(self) -> None:
        """Upsert all the entities, in batches."""
        count = -(-self.entities // BATCH)
        load = await run_load(self.port, BatchUpsert(self), connections=4, limit=count)
        expect(not load.errors, f"preload failed: {load.failure}")

    def written(self, number: int) -> float:
        """A new value for an entity, remembered as its latest."""
        value = self.latest[number] = workload.measured()
        return value

    async def check_latest(self) -> None:
        """Read a sample of the entities back: each must hold the value written last."""
        for number in random.sample(sorted(self.latest), min(SAMPLED, len(self.latest))):
            found = await self.get(f"{ENTITIES}/{workload.entity_id(number)}")
            value = found[workload.MEASURED]["value"]
            expect(value == self.latest[number], f"{found['id']} holds {value}, not {self.latest[number]}")


class Scenario(ABC):
    """One kind of request, as a source for the generator."""

    key: ClassVar[str]
    name: ClassVar[str]
    target: ClassVar[float | None] = None
    items: ClassVar[int] = 1  # entities per request: what the ratio counts

    def __init__(self, at: Target) -> None:
        self.at = at
        self.numbers: Iterator[int] = workload.shuffled(at.entities)

    @abstractmethod
    def __call__(self) -> bytes:
        """The next request."""

    @abstractmethod
    async def check(self, load: Load) -> None:
        """Raise WrongAnswer unless the broker did what it was asked to."""

    async def prepare(self) -> None:
        """Write what the scenario needs beyond the entities: most need nothing."""
        return None

    def connections(self, most: int) -> int:
        """How many connections to send it from."""
        return most

    def path(self, number: int, rest: str = "") -> str:
        """The path of an entity."""
        return f"{ENTITIES}/{workload.entity_id(number)}{rest}"

    def head(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The head of a request with such a body."""
        return head(method, path, length=None if body is None else len(body), tenant=self.at.tenant)


class Retrieve(Scenario):
    """One entity by its id."""

    key, name, target = "retrieve", "retrieve", 0.30

    def __init__(self, at: Target) -> None:
        super().__init__(at)
        self.rendered = [self.head("GET", self.path(number)) for number in range(at.entities)]

    def __call__(self) -> bytes:
        return self.rendered[next(self.numbers)]

    async def check(self, load: Load) -> None:
        request, answer = sample(load)
        found, asked = json.loads(answer.body), json.loads(workload.entity(0))
        expect(found["id"].encode() in request.split(b"\r\n")[0], "another entity than the one asked for")
        expect(found.keys() == asked.keys(), f"members {sorted(found)}")
        expect(len(found["humidity"]) == len(found["level"]) == 2, "not two instances by datasetId")


class PartialUpdate(Scenario):
    """The value of one measured attribute."""

    key, name, target = "partial", "partial update", 0.12

    def __call__(self) -> bytes:
        number = next(self.numbers)
        body = workload.partial(self.at.written(number))
        return self.head("PATCH", self.path(number, f"/attrs/{workload.MEASURED}"), body) + body

    async def check(self, load: Load) -> None:
        await self.at.check_latest()


class UpdateAttrs(Scenario):
    """The three measured attributes: five instances."""

    key, name = "update", "update of 5 instances"

    def __call__(self) -> bytes:
        number = next(self.numbers)
        body = workload.update(self.at.written(number))
        return self.head("PATCH", self.path(number, "/attrs"), body) + body

    async def check(self, load: Load) -> None:
        await self.at.check_latest()


class BatchUpsert(Scenario):
    """A hundred whole entities, replaced; never one in two requests under way."""

    key, name, target, items = "batch", "batch upsert of 100", 0.20, BATCH

    def __init__(self, at: Target) -> None:
        super().__init__(at)
        self.batches = -(-at.entities // BATCH)
        self.starts = workload.shuffled(self.batches)

    def connections(self, most: int) -> int:
        return max(1, min(most, 16, self.batches // 2))

    def __call__(self) -> bytes:
        start = next(self.starts) * BATCH
        numbers = range(start, min(start + BATCH, self.at.entities))
        entities = (workload.entity(number, value=self.at.written(number)) for number in numbers)
        body = b"[" + b",".join(entities) + b"]"
        return self.head("POST", "/ngsi-ld/v1/entityOperations/upsert", body) + body

    async def check(self, load: Load) -> None:
        await self.at.check_latest()


class Query(Scenario):
    """A page of 20 entities of a type whose P is greater than R and that have S: about half have."""

    key, name, target = "query", "query P>R;S, page of 20", 0.04

    def __call__(self) -> bytes:
        kind, least = workload.type_of(next(self.numbers)), random.randint(5000, 6000) / 100
        return self.head("GET", f"{ENTITIES}?type={kind}&q={workload.MEASURED}%3E{least}%3Boperator&limit=20")

    async def check(self, load: Load) -> None:
        request, answer = sample(load)
        page, line = json.loads(answer.body), request.split(b"\r\n")[0].decode()
        least = float(line.split("%3E")[1].split("%3B")[0])
        expect(len(page) >= min(20, self.at.entities // 50), f"{len(page)} entities on the page")
        expect(len({each["id"] for each in page}) == len(page) <= 20, "an entity twice, or too many")
        expect(all(f"type={each['type']}&" in line for each in page), "an entity of another type")
        expect(all(each[workload.MEASURED]["value"] > least for each in page), "an entity with P <= R")


class Types(Scenario):
    """Which types there are, and their attributes."""

    key, name = "types", "types in detail"

    def __call__(self) -> bytes:
        return self.head("GET", "/ngsi-ld/v1/types?details=true")

    async def check(self, load: Load) -> None:
        found = {each["typeName"]: each["attributeNames"] for each in json.loads(sample(load)[1].body)}
        kinds = {workload.type_of(number) for number in range(min(workload.TYPES, self.at.entities))}
        expect(found.keys() >= kinds, f"types are missing: {sorted(kinds - found.keys())}")
        expect(all(workload.MEASURED in found[kind] for kind in kinds), "an attribute is missing")


class Create(Scenario):
    """An entity that was not there, of types that the query does not see."""

    key, name, target = "create", "create", 0.08

    def __init__(self, at: Target) -> None:
        super().__init__(at)
        self.family, self.created = f"New{at.run}", 0

    def __call__(self) -> bytes:
        body = workload.entity(self.created, self.family)
        self.created += 1
        return self.head("POST", ENTITIES, body) + body

    async def check(self, load: Load) -> None:
        request, _ = sample(load)
        sent = json.loads(request.split(b"\r\n\r\n", 1)[1])
        found = await self.at.get(f"{ENTITIES}/{sent['id']}")
        expect(found[workload.MEASURED] == sent[workload.MEASURED], f"{sent['id']} holds another value")


class Temporal(Scenario):
    """The last 100 instances of one attribute of one entity."""

    key, name = "temporal", "temporal, last 100"

    def __init__(self, at: Target) -> None:
        super().__init__(at)
        self.hot = max(10, at.entities // 100)
        self.numbers = workload.shuffled(self.hot)

    async def prepare(self) -> None:
        """Give some entities a past, by updating them."""
        updates = PartialUpdate(self.at)
        updates.numbers = self.numbers
        limit = self.hot * (LAST + 10)
        load = await run_load(self.at.port, updates, connections=max(4, self.hot // 4), limit=limit)
        expect(not load.errors, f"the past could not be written: {load.failure}")

    def __call__(self) -> bytes:
        path = f"{EVOLUTIONS}/{workload.entity_id(next(self.numbers))}"
        return self.head("GET", f"{path}?attrs={workload.MEASURED}&lastN={LAST}")

    async def check(self, load: Load) -> None:
        instances = json.loads(sample(load)[1].body)[workload.MEASURED]
        times = [each["observedAt"] for each in instances]
        expect(len(instances) == LAST, f"{len(instances)} instances")
        expect(sorted(times) in (times, times[::-1]) and len(set(times)) == LAST, "not in order of time")


class TemporalUpsert(Scenario):
    """A hundred instances of one attribute, minute by minute, to one of a hundred evolutions."""

    key, name, items = "evolve", "temporal upsert of 100", BATCH

    def __init__(self, at: Target) -> None:
        super().__init__(at)
        self.numbers, self.sent = workload.shuffled(100), 0

    def connections(self, most: int) -> int:
        return min(most, 16)

    def __call__(self) -> bytes:
        body = workload.past(next(self.numbers), self.sent * BATCH, BATCH)
        self.sent += 1
        return self.head("POST", EVOLUTIONS, body) + body

    async def check(self, load: Load) -> None:
        request, _ = sample(load)
        sent = json.loads(request.split(b"\r\n\r\n", 1)[1])
        first, *_, last = (one["observedAt"] for one in sent[workload.MEASURED])
        window = f"timerel=between&timeAt={first}&endTimeAt={last[:-2]}9Z"
        found = await self.at.get(f"{EVOLUTIONS}/{sent['id']}?{window}")
        values = [one["value"] for one in found[workload.MEASURED]]
        expect(sorted(values) == sorted(one["value"] for one in sent[workload.MEASURED]), "other values")


def sample(load: Load) -> tuple[bytes, Message]:
    """One request and its good answer."""
    if load.sample is None:
        raise WrongAnswer("no request was answered with 2xx")
    return load.sample


SCENARIOS: tuple[type[Scenario], ...] = (
    Retrieve,
    PartialUpdate,
    UpdateAttrs,
    BatchUpsert,
    Query,
    Types,
    Create,
    Temporal,
    TemporalUpsert,
)
