"""Remote @contexts: fetched once, within limits, and kept (5.5.6)."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiohttp import web
from multidict import CIMultiDict
from pymongo import AsyncMongoClient

from broker.contexts.fetch import Fetcher, FetchLimits, _lifetime
from broker.contexts.hits import Counts, Hits
from broker.contexts.loader import Contexts, ContextStore
from broker.core import Json
from broker.core.egress import NO_ANSWER, egress_rule
from broker.core.errors import BadRequestData, LdContextNotAvailable
from broker.core.jsonld.core_context import CORE_CONTEXT_URL, NGSI_LD
from broker.egress import Egress
from broker.ports.contexts import ContextKey, StoredContext
from broker.store.registry.contexts import MongoContexts
from broker.store.wire.tenants import Tenants

SPEED = {"@context": {"speed": "https://ex.org/speed"}}


class Host:
    """A remote host, which counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, bytes] = {}
        self.seconds = 0.0
        self.root = ""

    def __call__(self, path: str, answer: Json) -> str:
        """Serves this answer from now on; its URL."""
        self.answers[path] = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return self.root + path

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked[request.path] += 1
        await asyncio.sleep(self.seconds)
        if request.path.startswith("/to/"):
            return web.Response(status=302, headers={"Location": request.path[3:]})
        if request.path.startswith("/status/"):
            return web.Response(status=int(request.path[8:]))
        body = self.answers.get(request.path)
        return web.Response(status=404) if body is None else web.Response(body=body)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    runner = web.ServerRunner(web.Server(host.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.root = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield host
    await runner.cleanup()


class Shelf:
    """Documents kept in memory."""

    def __init__(self) -> None:
        self.kept: dict[ContextKey, StoredContext] = {}

    async def get(self, key: ContextKey) -> StoredContext | None:
        return self.kept.get(key)

    async def put(self, one: StoredContext) -> StoredContext:
        return self.kept.setdefault(one.key, one)

    async def replace(self, old: StoredContext, new: StoredContext) -> bool:
        if self.kept.get(old.key) is not old:
            return False
        self.kept[old.key] = new
        return True


async def nobody(counts: Counts) -> None:
    """Hits are of no interest here."""


def loader(fetcher: Fetcher, store: ContextStore | None = None) -> Contexts:
    return Contexts(fetcher, store or Shelf(), Hits(nobody), time.time)


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher(Egress(egress_rule()), FetchLimits(timeout=2, size=2000, redirects=2))
    yield fetcher
    await fetcher.close()


@pytest.fixture
def contexts(fetcher: Fetcher) -> Contexts:
    return loader(fetcher)


async def test_the_core_needs_no_fetch(contexts: Contexts, host: Host) -> None:
    sources: list[Json] = [None, [], CORE_CONTEXT_URL, CORE_CONTEXT_URL.replace("-v1.9", "")]
    for source in sources:
        assert await contexts.resolve(source) is contexts.core
    assert (await contexts.resolve([CORE_CONTEXT_URL])).expand("location") == NGSI_LD + "location"
    assert not host.asked


@pytest.mark.clause("5.5.6")
async def test_many_at_once_make_one_fetch(contexts: Contexts, host: Host) -> None:
    url = host("/one", SPEED)
    host.seconds = 0.05
    sources: list[Json] = [url, [url], [url, CORE_CONTEXT_URL], {"@import": url}] * 10
    found = await asyncio.gather(*map(contexts.resolve, sources))
    assert {one.expand("speed") for one in found} == {"https://ex.org/speed"}
    assert host.asked == {"/one": 1}
    assert await contexts.resolve(url) is await contexts.resolve(url)


async def test_one_who_gives_up_does_not_spoil_it_for_the_others(contexts: Contexts, host: Host) -> None:
    url = host("/one", SPEED)
    host.seconds = 0.05
    first, second = (asyncio.create_task(contexts.resolve(url)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second).expand("speed") == "https://ex.org/speed"
    assert host.asked == {"/one": 1}


async def test_documents_that_name_others(contexts: Contexts, host: Host) -> None:
    inner = host("/inner", {"@context": {"a": "urn:a"}})
    url = host("/outer", {"@context": [inner, CORE_CONTEXT_URL, {"b": "urn:b"}]})
    context = await contexts.resolve(url)
    assert (context.expand("a"), context.expand("b")) == ("urn:a", "urn:b")
    assert host.asked == {"/outer": 1, "/inner": 1}


@pytest.mark.clause("5.5.6")
async def test_documents_that_name_themselves_come_to_an_end(contexts: Contexts, host: Host) -> None:
    url = host("/self", {"@context": [host.root + "/self", {"a": "urn:a"}]})
    with pytest.raises(BadRequestData):
        await contexts.resolve(url)
    assert host.asked == {"/self": 1}


async def test_a_context_is_made_of_so_many_documents_and_no_more(contexts: Contexts, host: Host) -> None:
    urls = [host(f"/{n}", SPEED) for n in range(60)]
    assert await contexts.resolve(urls[:10])
    with pytest.raises(BadRequestData, match="50"):
        await contexts.resolve(urls)
    assert max(host.asked.values()) == 1
    assert sum(host.asked.values()) <= 60


@pytest.mark.clause("5.5.6")
@pytest.mark.parametrize(
    "path", ["/absent", "/status/500", "/status/204", "/to/to/to/one", "/to/ftp://x", "/large"]
)
async def test_what_cannot_be_had_is_not_available(contexts: Contexts, host: Host, path: str) -> None:
    host("/one", SPEED)
    host("/large", {"@context": {"speed": "https://ex.org/" + "x" * 3000}})
    with pytest.raises(LdContextNotAvailable, match=r"127\.0\.0\.1"):
        await contexts.resolve(host.root + path)


@pytest.mark.clause("5.5.6")
async def test_redirects_are_followed_so_far(contexts: Contexts, host: Host) -> None:
    host("/one", SPEED)
    assert (await contexts.resolve(host.root + "/to/to/one")).expand("speed") == "https://ex.org/speed"


@pytest.mark.clause("5.5.6")
@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/x", "ftp://ex.org/x", "file:///etc/passwd", "relative", "http://", "http://[/"],
)
async def test_addresses_where_nobody_answers(contexts: Contexts, url: str) -> None:
    with pytest.raises(LdContextNotAvailable):
        await contexts.resolve(url)


@pytest.mark.clause("5.5.6")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"x"',
        b"{}",
        b'{"@graph": []}',
        b"\xff",
        b'{"@context": 5}',
        b'{"@context": {"a": 5}}',
    ],
)
async def test_what_is_no_context_is_a_bad_request(contexts: Contexts, host: Host, body: bytes) -> None:
    with pytest.raises(BadRequestData):
        await contexts.resolve(host("/one", body))


async def test_a_failure_is_not_remembered(contexts: Contexts, host: Host) -> None:
    with pytest.raises(LdContextNotAvailable):
        await contexts.resolve(host.root + "/one")
    assert (await contexts.resolve(host("/one", SPEED))).expand("speed") == "https://ex.org/speed"


async def test_a_slow_host_is_not_waited_for(host: Host) -> None:
    fetcher = Fetcher(Egress(egress_rule()), FetchLimits(timeout=0.05))
    host.seconds = 0.3
    with pytest.raises(LdContextNotAvailable, match=NO_ANSWER):
        await loader(fetcher).resolve(host("/one", SPEED))
    await fetcher.close()


async def test_only_hosts_that_are_allowed_are_called(host: Host) -> None:
    fetcher = Fetcher(Egress(egress_rule()), FetchLimits(hosts=("localhost",)))
    contexts = loader(fetcher)
    url = host("/one", SPEED)
    for path in ("/one", "/to/one"):
        with pytest.raises(LdContextNotAvailable, match="may not"):
            await contexts.resolve(host.root + path)
    assert not host.asked
    assert await contexts.resolve(url.replace("127.0.0.1", "localhost"))
    await fetcher.close()


async def test_addresses_that_are_denied_are_not_called(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Redirects lead there neither. A client cannot tell them from addresses where nobody answers."""
    fetcher = Fetcher(Egress(egress_rule(["localhost"], ["127.0.0.1"])), FetchLimits())
    contexts = loader(fetcher)
    direct, here = host("/one", SPEED), host.root.replace("127.0.0.1", "localhost")
    led = f"{here}/to{direct.removeprefix('http:')}"
    with caplog.at_level("INFO"):
        for url in (direct, led, "http://localhost:1/"):
            with pytest.raises(LdContextNotAvailable) as caught:
                await contexts.resolve(url)
            assert caught.value.detail == f"{url}: {NO_ANSWER}"
    logged = [record for record in caplog.records if record.name == "broker.contexts.fetch"]
    reasons = [vars(record)["reason"] for record in logged]
    assert ["egress rule" in reason for reason in reasons] == [True, True, False]
    assert "/one" not in host.asked
    assert await contexts.resolve(f"{here}/one")
    await fetcher.close()


async def test_it_survives_the_death_of_the_host(host: Host, fetcher: Fetcher, mongo_uri: str) -> None:
    document: dict[str, Any] = {
        "@context": {"speed": "https://ex.org/speed", "a.b$": "urn:x"},
        "$odd": [1, {"": None}],
    }
    url = host("/kept", document)
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        shelf = MongoContexts(client, "contexts_test", Tenants(client, "contexts_test"))
        assert await shelf.get(("", url)) is None
        await loader(fetcher, shelf).resolve(url)
        kept = await shelf.get(("", url))
        assert kept is not None
        assert kept.document == {"@context": document["@context"]}, "what else there is, is nobody's"
        host.answers.clear()
        again = await loader(fetcher, shelf).resolve(url)  # as in a process of its own
    assert again.expand("speed") == "https://ex.org/speed"
    assert host.asked == {"/kept": 1}


class Clock:
    """The time, in seconds, which goes on by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


async def settled(contexts: Contexts) -> None:
    """Returns when nothing goes on in the background."""
    while tasks := list(contexts._renewing):
        await asyncio.gather(*tasks)


@pytest.mark.clause("5.13.1")
async def test_what_is_old_is_renewed_in_the_background(fetcher: Fetcher, host: Host) -> None:
    clock = Clock()
    contexts = Contexts(fetcher, Shelf(), Hits(nobody), clock, lifetime=500)
    url = host("/one", SPEED)
    first = await contexts.resolve(url)
    clock.at += 499
    assert await contexts.resolve(url) is first
    host("/one", {"@context": {"velocity": "https://ex.org/speed"}})
    clock.at += 2
    assert await contexts.resolve(url) is first  # nobody waits
    await settled(contexts)
    assert (await contexts.resolve(url)).compact("https://ex.org/speed") == "velocity"
    assert host.asked == {"/one": 2}


@pytest.mark.clause("5.13.1")
async def test_what_cannot_be_renewed_is_used_on(
    fetcher: Fetcher, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    contexts = Contexts(fetcher, Shelf(), Hits(nobody), clock, lifetime=500)
    url = host("/one", SPEED)
    first = await contexts.resolve(url)
    host.answers.clear()
    clock.at += 501
    for _ in range(3):
        assert await contexts.resolve(url) is first
        await settled(contexts)
    assert host.asked == {"/one": 2}  # and not for each request
    assert "cannot be renewed" in caplog.text


@pytest.mark.clause("5.13.1")
@pytest.mark.parametrize(
    ("headers", "lifetime"),
    [
        ({}, None),
        ({"Cache-Control": "public, max-age=300"}, 300),
        ({"cache-control": "s-maxage=5, MAX-AGE=7"}, 7),
        ({"Cache-Control": "no-cache, max-age=300"}, 0),
        ({"Cache-Control": "no-store"}, 0),
        ({"Cache-Control": "max-age=300", "Expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, 300),
        ({"Expires": "Wed, 01 Jul 2026 12:01:00 GMT"}, 60),
        ({"Expires": "0"}, None),
        ({"Expires": "Wed, 01 Jul 2026 12:01:00"}, None),
    ],
)
def test_hosts_say_how_long_their_documents_are_good(headers: dict[str, str], lifetime: float | None) -> None:
    assert _lifetime(CIMultiDict(headers), datetime(2026, 7, 1, 12, tzinfo=UTC)) == lifetime


async def test_what_is_forgotten_while_it_is_compiled_is_not_remembered(
    contexts: Contexts, host: Host
) -> None:
    url = host("/one", SPEED)
    host.seconds = 0.1
    resolving = asyncio.create_task(contexts.resolve(url))
    await asyncio.sleep(0.03)
    contexts.forget([("", url)])
    first = await resolving
    assert await contexts.resolve(url) is not first


async def test_hits_are_counted_until_they_are_written_down() -> None:
    written: list[dict[ContextKey, tuple[int, float]]] = []
    is_away = True

    async def write(counts: Counts) -> None:
        if is_away:
            raise OSError
        written.append(dict(counts))

    hits = Hits(write)
    hits.note([("", "a"), ("t", "b")], 1.0)
    with pytest.raises(OSError):  # noqa: PT011
        await hits.flush()
    is_away = False
    hits.note([("", "a")], 2.0)
    await hits.flush()
    await hits.flush()
    assert written == [{("", "a"): (2, 2.0), ("t", "b"): (1, 1.0)}]
