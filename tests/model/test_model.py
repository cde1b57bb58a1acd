"""Random sequences of writes: the broker and the model agree on answers, on the entity and on its history."""

import random
import secrets
from collections import Counter
from typing import Any

import aiohttp
import orjson
import pytest

from tests.model.model import NULL, Attrs, Instance, Model

NAMES = ("heat", "flow", "mode")
DATASETS = (None, "urn:d:1", "urn:d:2")
VALUES: tuple[Any, ...] = (0, 1, 2.5, "dry", True, [1, 2], {"a": 1, "b": {"c": 2}}, {"b": {"d": 3}})
TYPES = ("Sensor", "Valve")
Answer = tuple[str, str, Any, int]


class Writer:
    """Makes up operations on one entity; each goes to the model, and comes back as a request to send."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.model = Model()
        self.id = f"urn:ngsi-ld:Thing:{secrets.token_hex(6)}"

    def next(self) -> Answer:
        """Method, path, body, and the status that has to come."""
        return self._random.choice(_OPERATIONS)(self)

    def create(self) -> Answer:
        kind, attrs = self._kind(), self._attrs()
        return "POST", "entities", self._entity(kind, attrs), self.model.create(kind, attrs)

    def replace(self) -> Answer:
        kind, attrs = self._kind(), self._attrs()
        return "PUT", f"entities/{self.id}", self._entity(kind, attrs), self.model.replace(kind, attrs)

    def upsert(self) -> Answer:
        kind, attrs = self._kind(), self._attrs()
        return "POST", "entityOperations/upsert", [self._entity(kind, attrs)], self.model.upsert(kind, attrs)

    def delete(self) -> Answer:
        return "DELETE", f"entities/{self.id}", None, self.model.delete()

    def append(self) -> Answer:
        attrs, overwrite = self._attrs(), self._random.random() < 0.5
        path = f"entities/{self.id}/attrs" + ("" if overwrite else "?options=noOverwrite")
        return "POST", path, _shown(attrs), self.model.append(attrs, overwrite)

    def update(self) -> Answer:
        attrs = self._attrs()
        return "PATCH", f"entities/{self.id}/attrs", _shown(attrs), self.model.update(attrs)

    def merge(self) -> Answer:
        attrs = self._attrs(deep=True)
        return "PATCH", f"entities/{self.id}", _shown(attrs), self.model.merge(attrs)

    def partial(self) -> Answer:
        name, dataset = self._place()
        members = self._random.choice(
            [{"value": self._value()}, {"unitCode": "P1"}, {"value": 7, "unitCode": "CEL"}]
        )
        body = members if dataset is None else {**members, "datasetId": dataset}
        return "PATCH", f"entities/{self.id}/attrs/{name}", body, self.model.partial(name, dataset, members)

    def replace_attr(self) -> Answer:
        name, dataset = self._place()
        instance = self._instance()
        body = _instance(dataset, instance)
        return (
            "PUT",
            f"entities/{self.id}/attrs/{name}",
            body,
            self.model.replace_attr(name, dataset, instance),
        )

    def delete_attr(self) -> Answer:
        name, dataset = self._place()
        every = self._random.random() < 0.3
        query = "?deleteAll=true" if every else f"?datasetId={dataset}" if dataset else ""
        path = f"entities/{self.id}/attrs/{name}{query}"
        return "DELETE", path, None, self.model.delete_attr(name, dataset, every)

    def _kind(self) -> str:
        return self._random.choice(TYPES)

    def _place(self) -> tuple[str, str | None]:
        return self._random.choice(NAMES), self._random.choice(DATASETS)

    def _value(self) -> Any:
        return self._random.choice(VALUES)

    def _instance(self) -> Instance:
        unit = {"unitCode": "MMT"} if self._random.random() < 0.3 else {}
        return {"value": self._value(), **unit}

    def _attrs(self, deep: bool = False) -> Attrs:
        attrs: Attrs = {}
        for name in self._random.sample(NAMES, self._random.randint(1, 3)):
            datasets = self._random.sample(DATASETS, self._random.choice((1, 1, 1, 2)))
            attrs[name] = {dataset: self._instance() for dataset in datasets}
        if deep:
            name = self._random.choice(list(attrs))
            value = self._random.choice([NULL, {"b": NULL}, {"b": {"c": NULL, "e": 1}}])
            attrs[name][next(iter(attrs[name]))] = {"value": value}
        return attrs

    def _entity(self, kind: str, attrs: Attrs) -> dict[str, Any]:
        return {"id": self.id, "type": kind, **_shown(attrs)}


_OPERATIONS = (
    Writer.create, Writer.create, Writer.create, Writer.replace, Writer.upsert, Writer.delete, Writer.append,
    Writer.update, Writer.update, Writer.merge, Writer.merge, Writer.partial, Writer.partial, Writer.partial,
    Writer.replace_attr, Writer.delete_attr,
)  # fmt: skip


def _instance(dataset: str | None, instance: Instance) -> dict[str, Any]:
    shown = {"type": "Property", **instance}
    return shown if dataset is None else {**shown, "datasetId": dataset}


def _shown(attrs: Attrs) -> dict[str, Any]:
    return {name: [_instance(d, i) for d, i in many.items()] for name, many in attrs.items()}


def _sorted(instances: list[Any]) -> list[Any]:
    return sorted(instances, key=lambda one: one.get("datasetId", ""))


async def _get(http: aiohttp.ClientSession, path: str, tenant: dict[str, str]) -> tuple[int, Any]:
    async with http.get(f"/ngsi-ld/v1/{path}", headers=tenant) as answer:
        return answer.status, orjson.loads(await answer.read())


async def _agree(http: aiohttp.ClientSession, writer: Writer, tenant: dict[str, str]) -> None:
    """The entity is what the model has; so is the history of each of its attributes, in order."""
    status, entity = await _get(http, f"entities/{writer.id}", tenant)
    if writer.model.types is None:
        assert status == 404
    else:
        assert NULL not in str(entity)
        attrs = {name: many if isinstance(many, list) else [many] for name, many in entity.items()}
        assert [attrs.pop("id"), attrs.pop("type")] == [[writer.id], writer.model.types]
        assert {n: _sorted(many) for n, many in attrs.items()} == {
            n: _sorted(many) for n, many in _shown(writer.model.attrs).items()
        }
    status, evolution = await _get(http, f"temporal/entities/{writer.id}", tenant)
    for name, recorded in writer.model.history.items():
        kept = [(one.get("datasetId"), one["value"]) for one in evolution[name]]
        for dataset in DATASETS:
            assert [v for d, v in kept if d == dataset] == [v for d, v in recorded if d == dataset], name


@pytest.mark.parametrize("seed", range(12))
async def test_any_sequence_of_writes(http: aiohttp.ClientSession, tenant: dict[str, str], seed: int) -> None:
    writer, answers = Writer(seed), Counter[int]()
    for _ in range(60):
        method, path, body, expected = writer.next()
        async with http.request(
            method,
            f"/ngsi-ld/v1/{path}",
            json=body,
            headers=tenant,
            skip_auto_headers=["Content-Type"] * (body is None),
        ) as answer:
            text = await answer.text()
            if answer.status == 404 and "NonexistentTenant" in text:
                continue
            assert answer.status == expected, (method, path, body, text)
            answers[answer.status] += 1
    assert len(answers) >= 3
    await _agree(http, writer, tenant)
