"""What the tests of the HTTP API share: clients that keep to one tenant, a receiver of notifications."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from broker.core import Json
from tests.conftest import free_port, running
from tests.core.federation.registrations import info, small

ROOT = "/ngsi-ld/v1/"
ERRORS = "https://uri.etsi.org/ngsi-ld/errors/"
JSON, LD_JSON = "application/json", "application/ld+json"
CORE_URL = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"


def linked(url: str) -> dict[str, str]:
    """The header that names the @context of a request."""
    return {"Link": f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the broker, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def doc(self) -> Any:
        """The body, which is JSON."""
        return orjson.loads(self.body)

    def is_problem(self, status: int, kind: str) -> bool:
        """Whether this is an error of that status and type, told as the specification says."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Content-Type"] == JSON
        assert "Link" not in self.headers
        assert self.doc.keys() == {"type", "title", "detail", "status"}
        assert self.doc["status"] == status
        return bool(self.doc["type"] == ERRORS + kind)


class Api:
    """A client of the broker for one tenant. Paths are taken as they are, relative to /ngsi-ld/v1/."""

    def __init__(self, http: aiohttp.ClientSession, root: str, tenant: Mapping[str, str]) -> None:
        self._http = http
        self.root = root
        self.tenant = tenant

    async def __call__(
        self,
        method: str,
        path: str,
        doc: Json = None,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        media: str | None = JSON,
    ) -> Answer:
        """One request with a body, if any, of a document or of bytes."""
        body = orjson.dumps(doc) if data is None and doc is not None else data
        sent: CIMultiDict[str] = CIMultiDict(self.tenant)
        if body is not None and media is not None:
            sent["Content-Type"] = media
        sent.update(headers or {})
        url = URL(self.root + (path if path.startswith("/") else ROOT + path), encoded=True)
        skipped = ("Content-Type",) if media is None else ()
        large = body is not None and len(body) > 1024**2  # aiohttp warns of large bytes
        async with self._http.request(
            method,
            url,
            data=BytesIO(body) if large and body else body,
            headers=sent,
            skip_auto_headers=skipped,
            allow_redirects=False,
        ) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **headers: str) -> Any:
        """The document at a path, which has to be there."""
        answer = await self("GET", path, headers=headers)
        assert answer.status == 200, answer.body
        return answer.doc

    async def make(self, *docs: dict[str, Json]) -> None:
        """Creates these entities."""
        for doc in docs:
            answer = await self("POST", "entities", doc)
            assert answer.status == 201, answer.body

    async def entity(self, entity_id: str = "urn:x:1", options: str = "simplified") -> Any:
        """An entity as it is now."""
        return await self.get(f"entities/{entity_id}?options={options}")


@pytest.fixture
def api(http: aiohttp.ClientSession, broker_url: str, tenant: dict[str, str]) -> Api:
    """A client with a tenant that nobody else uses."""
    return Api(http, broker_url, tenant)


class Kept(Api):
    """A tenant shared by tests whose requests are all to be refused. It holds urn:x:1, whose heat is 1."""

    before: Any = None

    async def is_unchanged(self) -> bool:
        """Whether everything is as it was at first, times included."""
        now = await self.get("entities?local=true&options=sysAttrs")
        return bool(now == self.before) and not await self.get("subscriptions")


@pytest.fixture(scope="session")
async def kept(http: aiohttp.ClientSession, broker_url: str) -> Kept:
    """A tenant for requests that change nothing."""
    api = Kept(http, broker_url, {"NGSILD-Tenant": "kept"})
    await api.make(room(heat=1))
    api.before = await api.get("entities?local=true&options=sysAttrs")
    return api


def room(entity_id: str = "urn:x:1", /, **members: Json) -> dict[str, Json]:
    """An entity of type T; members are its attributes in concise form, or its scope."""
    return {"id": entity_id, "type": "T", **members}


@dataclass(frozen=True, slots=True)
class Received:
    """A notification as it arrived."""

    path: str
    headers: CIMultiDictProxy[str]
    doc: Any

    @property
    def entity(self) -> Any:
        """The one entity it tells of."""
        (entity,) = self.doc["data"]
        return entity


class Receiver:
    """Takes notifications; `refuse` holds the statuses of the next answers, 0 for no answer at all."""

    def __init__(self) -> None:
        self.root = ""
        self.refuse: list[int] = []
        self.attempts: list[Received] = []
        self.taken: list[Received] = []
        self._came = asyncio.Condition()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        received = Received(request.path, request.headers, orjson.loads(await request.read()))
        status = self.refuse.pop(0) if self.refuse else 200
        async with self._came:
            self.attempts.append(received)
            if status == 200:
                self.taken.append(received)
            self._came.notify_all()
        if not status:
            await asyncio.sleep(0.3)
        return web.Response(status=status or 200)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns when a condition holds, which may change with each notification that arrives."""
        async with asyncio.timeout(30), self._came:
            await self._came.wait_for(condition)

    async def wait(self, count: int) -> list[Received]:
        """The first notifications taken, once there are so many."""
        await self.until(lambda: len(self.taken) >= count)
        return self.taken

    def tried(self, path: str) -> int:
        """How often the subscription at a path was notified, taken or not."""
        ours = path.partition("/")[2]
        return sum(one.doc["subscriptionId"] == ours for one in self.attempts)

    async def only(self, count: int) -> list[Received]:
        """The notifications taken, once there are so many and no more follow."""
        await self.wait(count)
        await asyncio.sleep(0.1)
        assert len(self.taken) == count, [one.doc for one in self.taken]
        return self.taken


@asynccontextmanager
async def serving() -> AsyncIterator[Receiver]:
    """A receiver of notifications on a port of its own."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver for a test of its own."""
    async with serving() as receiver:
        yield receiver


class Cities:
    """`home` registers what `river` has, the broker of another city; both in a tenant of the same name."""

    def __init__(self, home: Api, river: Api) -> None:
        self.home, self.river = home, river

    async def register(
        self,
        name: str = "1",
        *information: Json,
        endpoint: str | None = None,
        operations: list[str] | None = None,
        **members: Any,
    ) -> None:
        """Registers at home what the river's broker has, or another source: all of type T."""
        tenant = {"tenant": self.river.tenant["NGSILD-Tenant"]} if endpoint is None else {}
        doc = small(
            *information or [info(type="T")],
            id=f"urn:r:{name}",
            operations=operations or ["redirectionOps"],
            **{**tenant, **members, "endpoint": endpoint or self.river.root},
        )
        answer = await self.home("POST", "csourceRegistrations", doc)
        assert answer.status == 201, answer.body

    async def here(self, entity_id: str = "urn:x:1") -> Any:
        """An entity as it is at home alone, simplified; None if it is not there."""
        return _found(await self.home("GET", f"entities/{entity_id}?local=true&options=simplified"))

    async def there(self, entity_id: str = "urn:x:1") -> Any:
        """An entity as it is at the river's broker, simplified; None if it is not there."""
        return _found(await self.river("GET", f"entities/{entity_id}?options=simplified"))


def _found(answer: Answer) -> Any:
    assert answer.status in (200, 404), answer.body
    return answer.doc if answer.status == 200 else None


@pytest.fixture(scope="session")
async def river_url(mongo_uri: str) -> AsyncIterator[str]:
    """The root of a second broker, with a database and an alias of its own."""
    port = free_port()
    async with running(port, mongo_uri=mongo_uri, database="river", alias="river"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def cities(api: Api, http: aiohttp.ClientSession, river_url: str) -> Cities:
    """Two brokers; a tenant of the same name exists at both."""
    river = Api(http, river_url, api.tenant)
    for city in (api, river):
        await city.make({"id": "urn:x:first", "type": "First"})
    return Cities(api, river)
