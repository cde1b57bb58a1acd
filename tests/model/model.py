"""One entity as clauses 5.5.8, 5.5.12 and 5.6 would have it, in plain JSON and short names.

Written from the clauses alone: it shares no code with the broker. An attribute is a dict of its instances
by datasetId (None for the default one); an instance is {"value": …, "unitCode": …?, "sub": …?}. Each
operation returns the status that the broker has to answer with.
"""

from copy import deepcopy
from typing import Any

Instance = dict[str, Any]
Attrs = dict[str, dict[str | None, Instance]]
NULL = "urn:ngsi-ld:null"


class Model:
    """What there is of one entity, and what has been recorded of it."""

    def __init__(self) -> None:
        self.types: list[str] | None = None
        self.attrs: Attrs = {}
        self.history: dict[str, list[tuple[str | None, Any]]] = {}

    def create(self, kind: str, attrs: Attrs) -> int:
        """5.6.1."""
        if self.types is not None:
            return 409
        self.types = [kind]
        self._put(attrs)
        return 201

    def replace(self, kind: str, attrs: Attrs) -> int:
        """5.6.18."""
        if self.types is None:
            return 404
        self._forget({(name, dataset) for name, many in self.attrs.items() for dataset in many}, attrs)
        self.types, self.attrs = [kind], {}
        self._put(attrs)
        return 204

    def upsert(self, kind: str, attrs: Attrs) -> int:
        """5.6.8 with replace."""
        return self.create(kind, attrs) if self.types is None else self.replace(kind, attrs)

    def delete(self) -> int:
        """5.6.6."""
        if self.types is None:
            return 404
        self._forget({(name, dataset) for name, many in self.attrs.items() for dataset in many}, {})
        self.types, self.attrs = None, {}
        return 204

    def append(self, attrs: Attrs, overwrite: bool) -> int:
        """5.6.3."""
        if self.types is None:
            return 404
        taken = {(n, d) for n, many in attrs.items() for d in many if d in self.attrs.get(n, {})}
        fresh = {
            n: {d: i for d, i in many.items() if overwrite or (n, d) not in taken}
            for n, many in attrs.items()
        }
        self._put(fresh)
        return 204 if overwrite or not taken else 207

    def update(self, attrs: Attrs) -> int:
        """5.6.2."""
        if self.types is None:
            return 404
        self._put(attrs)
        return 204

    def partial(self, name: str, dataset: str | None, members: Instance) -> int:
        """5.6.4."""
        if dataset not in self.attrs.get(name, {}):
            return 404
        self._put({name: {dataset: {**self.attrs[name][dataset], **members}}})
        return 204

    def replace_attr(self, name: str, dataset: str | None, instance: Instance) -> int:
        """5.6.19."""
        if dataset not in self.attrs.get(name, {}):
            return 404
        self._put({name: {dataset: instance}})
        return 204

    def merge(self, attrs: Attrs) -> int:
        """5.6.17: into objects, too; an NGSI-LD Null deletes."""
        if self.types is None:
            return 404
        for name, many in attrs.items():
            for dataset, new in many.items():
                old = self.attrs.get(name, {}).get(dataset)
                if new["value"] == NULL:
                    self._drop(name, dataset)
                else:
                    base = old or {}
                    value = _merged(base.get("value"), new["value"])
                    self._put({name: {dataset: {**base, **new, "value": value}}})
        return 204

    def delete_attr(self, name: str, dataset: str | None, every: bool) -> int:
        """5.6.5."""
        if self.types is None or not (name in self.attrs if every else dataset in self.attrs.get(name, {})):
            return 404
        for one in list(self.attrs[name]) if every else [dataset]:
            self._drop(name, one)
        return 204

    def _put(self, attrs: Attrs) -> None:
        for name, many in attrs.items():
            for dataset, instance in many.items():
                self.attrs.setdefault(name, {})[dataset] = deepcopy(instance)
                self.history.setdefault(name, []).append((dataset, deepcopy(instance["value"])))

    def _drop(self, name: str, dataset: str | None) -> None:
        if self.attrs.get(name, {}).pop(dataset, None) is not None:
            self.history[name].append((dataset, NULL))
        if name in self.attrs and not self.attrs[name]:
            del self.attrs[name]

    def _forget(self, instances: set[tuple[str, str | None]], attrs: Attrs) -> None:
        """Records that these instances are gone, but for those that come back in the same write."""
        for name, dataset in instances:
            if dataset not in attrs.get(name, {}):
                self.history[name].append((dataset, NULL))


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(new, dict):
        return new
    base = dict(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value == NULL:
            base.pop(name, None)
        else:
            base[name] = _merged(base.get(name), value)
    return base
