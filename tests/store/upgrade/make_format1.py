"""Makes `tests/data/format1.json.gz`: databases of the last version of format 1, and its answers.

    git worktree add --detach ../format1 51e9c7c
    .venv/bin/python -m tests.store.upgrade.make_format1 ../format1

It runs a broker of that version on a MongoDB of its own, fills three tenants over HTTP, keeps the answers to
some requests, stops the broker, and writes everything in MongoDB's extended JSON:

    {databases: {name after the prefix: {collection: {options, indexes, documents}}},
     answers: {tenant: {path: [status, document]}}}

Dead letters get the year 2100 for `expires`, so that no test depends on when the dump was made.
"""

import asyncio
import gzip
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from bson import json_util
from bson.json_util import JSONOptions
from pymongo import AsyncMongoClient

from broker.store.server.children import end_child, start_child
from broker.store.server.embedded import EmbeddedMongo
from tests.api.conftest import JSON, LD_JSON, Api, serving
from tests.conftest import free_port, until_ready

FILE = Path(__file__).parents[2] / "data" / "format1.json.gz"
PREFIX = "eridanus"
PUBLIC_URL = "http://broker.example"
DEAD = "http://127.0.0.1:9"  # nobody listens there
FAR = "2100-01-01T00:00:00Z"
ODD = "City.A:1-b"  # a tenant whose database has a hash for its name
_SETTINGS = {
    "pack_after": "0", "pack_interval": "0.1", "unrecorded_types": "Secret", "temporal_page": "10000",
    "notification_retry_first": "3600", "notification_retry_cap": "3600", "public_url": PUBLIC_URL,
}  # fmt: skip
_READ = JSONOptions(tz_aware=True)
_SUBSCRIPTIONS = [f"urn:sub:{one}" for one in ("dead", "secret", "refused", "refused-periodic")]

Document = dict[str, Any]


def at(second: int) -> str:
    return f"2026-03-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


async def make(old: Path) -> None:
    """Makes the file with the version in this worktree."""
    with tempfile.TemporaryDirectory() as folder:
        mongo = EmbeddedMongo(Path(folder))
        try:
            uri = await mongo.start()
            async with AsyncMongoClient[Document](uri, serverMonitoringMode="poll") as client:
                answers = await _written(old, uri, client)
                databases = await _dumped(client)
        finally:
            await mongo.stop()
    text = json_util.dumps(
        {"databases": databases, "answers": answers}, json_options=json_util.CANONICAL_JSON_OPTIONS
    )
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{FILE}: {len(text)} bytes, {FILE.stat().st_size} compressed")


async def _written(old: Path, uri: str, client: AsyncMongoClient[Document]) -> dict[str, dict[str, Any]]:
    """What the old version says of what it has written."""
    async with _broker(old, uri) as root, aiohttp.ClientSession() as http, serving() as receiver:
        receiver.refuse = [410] * 1000
        apis = [Api(http, root, {"NGSILD-Tenant": one} if one else {}) for one in ("", "city", ODD)]
        for api in apis[:2]:
            await _fill(api, receiver.root)
        await apis[2].make({"id": "urn:odd:1", "type": "Room", "heat": 1})
        await _until_packed(client)
        await _correct(apis[0])
        for api in apis[:2]:
            await _until_settled(client, api)
        return {api.tenant.get("NGSILD-Tenant", ""): await _answers(api) for api in apis}


@asynccontextmanager
async def _broker(old: Path, uri: str) -> AsyncIterator[str]:
    """The root of a broker of the old version."""
    port = free_port()
    variables = {"host": "127.0.0.1", "port": str(port), "mongo_uri": uri, "database": PREFIX, **_SETTINGS}
    environment = {**os.environ, **{f"BROKER_{name.upper()}": value for name, value in variables.items()}}
    command = ["sh", "-c", 'cd "$0" && exec "$1" -m broker serve', str(old), sys.executable]
    process = await start_child(command, env=environment)
    try:
        await until_ready(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        await end_child(process, 30)


async def _fill(api: Api, refusing: str) -> None:
    """Entities of all kinds and fates, with history, subscriptions, and what is due to them."""
    await _contexts(api)
    await _subscriptions(api, refusing)
    await api.make(*_entities())
    await _fates(api)
    await _past(api)


async def _contexts(api: Api) -> None:
    hosted = {"@context": {"heat": "https://ex.org/heat", "Room": "https://ex.org/Room"}}
    await _done(api, "POST", "jsonldContexts", hosted)


async def _subscriptions(api: Api, refusing: str) -> None:
    rooms, secrets = {"entities": [{"type": "Room"}]}, {"entities": [{"type": "Secret"}]}
    changes = {"notificationTrigger": ["attributeUpdated", "attributeCreated", "entityDeleted"]}
    inline = {"@context": {"heat": "https://ex.org/other"}}
    for name, url, members in (
        ("dead", DEAD, rooms | changes),
        ("secret", DEAD, secrets),
        ("refused", refusing, rooms),
        ("throttled", DEAD, rooms | {"throttling": 3600}),
        ("periodic", DEAD, rooms | {"timeInterval": 1}),
        ("refused-periodic", refusing, rooms | {"timeInterval": 1}),
        ("paused", DEAD, rooms | {"isActive": False, "description": "a.b $c"}),
        ("context", DEAD, rooms | inline),
    ):
        notification: Document = {"endpoint": {"uri": f"{url}/{name}", "accept": "application/json"}}
        if name == "dead":
            notification["showChanges"] = True
        body = {"id": f"urn:sub:{name}", "type": "Subscription", **members, "notification": notification}
        await _done(api, "POST", "subscriptions", body, LD_JSON if "@context" in members else JSON)


def _entities() -> list[Document]:
    everything: Document = {
        "id": "urn:room:1", "type": ["Room", "Thing"], "scope": ["/A/B", "/C"],
        "heat": [{"type": "Property", "value": 20.5, "unitCode": "CEL", "observedAt": at(0)},
                 {"type": "Property", "value": 21, "datasetId": "urn:d:2",
                  "by": {"type": "Relationship", "object": "urn:v:1"}}],
        "owner": {"type": "Relationship", "object": "urn:p:1", "objectType": "Thing"},
        "location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [3.3, 49.8]}},
        "area": {"type": "GeoProperty", "value": {
            "type": "Polygon", "coordinates": [[[3, 49], [4, 49], [4, 50], [3, 49]]]}},
        "name": {"type": "LanguageProperty", "languageMap": {"fr": "la salle", "de": "der Saal"}},
        "kind": {"type": "VocabProperty", "vocab": "Thing"},
        "raw": {"type": "JsonProperty", "json": {"$set": 1, "a.b": [None, {"%": 2}]}},
        "many": {"type": "ListProperty", "valueList": [1, "2", [3]]},
        "others": {"type": "ListRelationship", "objectList": ["urn:a:1", "urn:a:2"]},
        "https://ex.org/fuel.level$": {"type": "Property", "value": 18446744073709551615},
        "fleeting": {"type": "Property", "value": 1, "expiresAt": FAR},
        "structured": {"type": "Property", "value": {"nested": {"deep": [True, None, 1.0]}}},
    }  # fmt: skip
    return [
        everything,
        {"id": "urn:room:2", "type": "Room", "heat": 2, "gone": 1},
        {"id": "urn:room:deleted", "type": "Room", "heat": 3, "scope": "/A"},
        {"id": "urn:room:again", "type": "Room", "heat": 4},
        {"id": "urn:room:forgotten", "type": "Room", "heat": 5},
        {"id": "urn:room:renewed", "type": "Room", "heat": 6},
        {"id": "urn:secret:1", "type": "Secret", "code": 7},
        {"id": "urn:secret:gone", "type": "Secret", "code": 8},
        {"id": "urn:room:fleeting", "type": "Room", "heat": 9, "expiresAt": FAR},
    ]


async def _fates(api: Api) -> None:
    """What becomes of the entities."""
    for heat in range(3):
        await _done(
            api, "PATCH", "entities/urn:room:1/attrs/heat", {"value": heat, "observedAt": at(heat + 1)}
        )
    await _done(api, "PATCH", "entities/urn:room:2/attrs", {"heat": 22, "more": "new"})
    await _done(api, "DELETE", "entities/urn:room:2/attrs/gone")
    await _done(api, "DELETE", "entities/urn:room:deleted")
    await _done(api, "DELETE", "entities/urn:room:again")
    await api.make({"id": "urn:room:again", "type": "Vehicle", "speed": 44})
    await _done(api, "DELETE", "temporal/entities/urn:room:forgotten")
    await _done(api, "DELETE", "temporal/entities/urn:room:renewed")
    past = {"type": "Property", "value": 66, "observedAt": at(1)}
    await _done(api, "POST", "temporal/entities", {"id": "urn:room:renewed", "type": "Room", "cold": [past]})
    await _done(api, "PATCH", "entities/urn:secret:1/attrs", {"code": 77})
    await _done(api, "DELETE", "entities/urn:secret:gone")


async def _past(api: Api) -> None:
    """Evolutions that clients wrote: one that is packed, of two attributes, and a short one."""
    speeds = [{"type": "Property", "value": n, "observedAt": at(n)} for n in range(300)]
    places = [
        {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [n / 100, 1]}, "observedAt": at(n)}
        for n in range(150)
    ]
    packed = {"id": "urn:vehicle:packed", "type": "Vehicle", "speed": speeds, "location": places}
    short = {"id": "urn:vehicle:short", "type": "Vehicle", "speed": speeds[:3], "scope": "/V"}
    for evolution in (packed, short):
        await _done(api, "POST", "temporal/entities", evolution)


async def _correct(api: Api) -> None:
    """Instances corrected, moved in time and deleted, packed ones and single ones."""
    for entity in ("urn:vehicle:packed", "urn:vehicle:short"):
        path = f"temporal/entities/{entity}/attrs/speed/"
        ids = [
            one["instanceId"] for one in (await api.get(f"temporal/entities/{entity}?attrs=speed"))["speed"]
        ]
        value = {"type": "Property", "value": 1000, "observedAt": at(0)}
        await _done(api, "PATCH", path + ids[0], {"speed": [value]})
        await _done(api, "PATCH", path + ids[1], {"speed": [{**value, "observedAt": at(5000)}]})
        await _done(api, "DELETE", path + ids[2])


async def _done(api: Api, method: str, path: str, doc: Any = None, media: str = JSON) -> None:
    answer = await api(method, path, doc, media=media)
    assert answer.status in (201, 204), (method, path, answer.body)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    is_met = False
    async with asyncio.timeout(60):
        while not is_met:
            await asyncio.sleep(0.1)
            is_met = await condition()


async def _until_packed(client: AsyncMongoClient[Document]) -> None:
    """Returns when both attributes of both tenants are in buckets."""

    async def is_packed() -> bool:
        found = [await client[name]["packed"].distinct("_id.a") for name in (PREFIX, f"{PREFIX}-city")]
        return all(len(one) == 2 for one in found)

    await _until(is_packed)


async def _until_settled(client: AsyncMongoClient[Document], api: Api) -> None:
    """Returns when a tenant has dead letters of changes and reports, and all else has been tried once."""
    database = client[PREFIX + "".join(f"-{one}" for one in api.tenant.values())]
    refused = {"due": {"$in": ["urn:sub:refused", "urn:sub:refused-periodic"]}}

    async def is_reported() -> bool:
        return await database["undelivered"].count_documents({"report": True}) > 0

    async def is_settled() -> bool:
        tried = await database["tallies"].count_documents({"failed": {"$gt": 0}})
        return tried >= 6 and not await database["outbox"].count_documents(refused)

    answers: list[Any] = [None]

    async def is_quiet() -> bool:
        await asyncio.sleep(2)
        answers.append(await api.get("subscriptions?limit=100"))
        return bool(answers[-1] == answers[-2])

    await _until(is_reported)
    await _done(api, "PATCH", "subscriptions/urn:sub:refused-periodic", {"isActive": False})
    await _until(is_settled)
    await _until(is_quiet)


async def _answers(api: Api) -> dict[str, list[Any]]:
    """What the broker says now, by path: the status and the document; lists are asked for whole."""
    paths = [
        "subscriptions?limit=100",
        "jsonldContexts?kind=Hosted",
        "types?details=true",
        "attributes?details=true",
    ]
    for kind in ("Room", "Vehicle", "Secret", "Thing"):
        paths.append(f"entities?type={kind}&options=sysAttrs&limit=100")
        paths.append(
            f"temporal/entities?type={kind}&timeproperty=modifiedAt&timerel=after&timeAt=2000-01-01T00:00:00Z"
        )
    paths += [f"temporal/entities/{one}?options=sysAttrs" for one in _ids()]
    paths += [f"/eridanus/v1/subscriptions/{one}/deliveries?limit=100" for one in _SUBSCRIPTIONS]
    answers = [await api("GET", path) for path in paths]
    return {path: [one.status, one.doc] for path, one in zip(paths, answers, strict=True)}


def _ids() -> list[str]:
    return [*(one["id"] for one in _entities()), "urn:vehicle:packed", "urn:vehicle:short", "urn:odd:1"]


async def _dumped(client: AsyncMongoClient[Document]) -> Document:
    """All databases of the broker, once nobody writes any more."""
    names = [one for one in await client.list_database_names() if one.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): await _database(client, name) for name in names}


async def _database(client: AsyncMongoClient[Document], name: str) -> Document:
    database, found = client[name], {}
    for collection in sorted(await database.list_collection_names()):
        indexes = await (await database[collection].list_indexes()).to_list()
        documents = await database[collection].find(sort=[("$natural", 1)]).to_list()
        for one in documents:
            if "expires" in one and collection == "undelivered":
                one["expires"] = datetime(2100, 1, 1, tzinfo=UTC)
        found[collection] = {
            "options": await database[collection].options(),
            "indexes": [dict(one) for one in indexes if one["name"] != "_id_" and "clustered" not in one],
            "documents": documents,
        }
    return found


def read() -> Document:
    """What the file holds."""
    found: Document = json_util.loads(gzip.decompress(FILE.read_bytes()).decode(), json_options=_READ)
    return found


async def load(client: AsyncMongoClient[Document], prefix: str) -> Document:
    """Puts the databases where the default tenant's has this name; returns what the file holds."""
    dump = read()
    for suffix, collections in dump["databases"].items():
        database = client[prefix + suffix]
        for name, collection in collections.items():
            await database.create_collection(name, **collection["options"])
            if collection["indexes"]:
                await database.command("createIndexes", name, indexes=collection["indexes"])
            if collection["documents"]:
                await database[name].insert_many(collection["documents"])
    return dump


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1])))
