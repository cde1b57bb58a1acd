"""The two readers of queries select the same entities: MongoDB by `to_filter`, Python by `match`."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from broker.core import Entity
from broker.core.lang import match
from broker.core.query import Query
from broker.store import codec
from broker.store.filters import to_filter
from broker.store.mongod import find_mongod
from tests.core.lang import some

Stored = Collection[dict[str, Any]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    folder = tmp_path_factory.mktemp("mongod")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [str(find_mongod(None)), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"]
        + ["--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--logpath", str(Path(folder) / "log")]
    )
    try:
        with MongoClient[dict[str, Any]]("127.0.0.1", port) as client:
            yield client["filters"]["entities"]
    finally:
        server.terminate()
        server.wait()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_both_readers_of_q_select_the_same(stored: Stored, seed: int) -> None:
    r = Random(seed)
    entities = _stored_entities(stored, r)
    for _ in range(300):
        q = some.query(r, depth=r.choice((0, 0, 0, 2)))
        _select_the_same(stored, entities, Query(q=q))


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32))
def test_both_readers_of_whole_queries_select_the_same(stored: Stored, seed: int) -> None:
    r = Random(seed)
    entities = _stored_entities(stored, r)
    for _ in range(200):
        _select_the_same(stored, entities, some.full_query(r))


def _stored_entities(stored: Stored, r: Random) -> list[Entity]:
    entities = [some.entity(r, number) for number in range(120)]
    stored.delete_many({})
    stored.insert_many([codec.encode_entity(entity) for entity in entities])
    stored.insert_one({"_id": "epoch", "createdAt": "2026-07-01T12:00:00"})  # the broker's own
    return entities


def _select_the_same(stored: Stored, entities: list[Entity], query: Query) -> None:
    found = {one["_id"] for one in stored.find(to_filter(query), {"_id": 1})}
    for entity in entities:
        if match.selects(query, entity) is not (entity["id"] in found):
            pytest.fail(f"MongoDB {entity['id'] in found}: {query.q or query} on {entity}")
    assert found <= {entity["id"] for entity in entities}
