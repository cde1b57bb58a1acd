"""Transient entities and attributes are gone the moment they expire, whoever is asked, and how."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import LD_JSON, Answer, Api, linked, room
from tests.conftest import free_port, running

GEO_JSON = "application/geo+json"
PAST = "timerel=after&timeAt=2020-01-01T00:00:00Z&timeproperty=createdAt"


@pytest.fixture(scope="module")
async def two(mongo_uri: str) -> AsyncIterator[str]:
    """A broker of two workers."""
    port = free_port()
    async with running(port, mongo_uri=mongo_uri, database="expiry", workers=2):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def api(two: str, tenant: dict[str, str]) -> AsyncIterator[Api]:
    # A connection for each request, so that both workers get some.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        yield Api(http, two, tenant)


def moment(seconds: float) -> str:
    """An instant as clients write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def whole(answer: Answer) -> bool:
    """Whether an entity is shown."""
    return answer.status == 200 and b"urn:x:brief" in answer.body


def part(answer: Answer) -> bool:
    """Whether an attribute is shown that is transient."""
    assert answer.status in (200, 404), answer.body
    return b"soon" in answer.body or b"fleeting" in answer.body


def counted(answer: Answer) -> bool:
    """Whether anything is counted."""
    return int(answer.headers["NGSILD-Results-Count"]) > 0


ENTITY: dict[str, Callable[[Answer], bool]] = {
    "entities/urn:x:brief": whole,
    "entities/urn:x:brief?type=Brief": whole,
    "entities/urn:x:brief?options=sysAttrs": whole,
    "entities?type=Brief": whole,
    "entities?type=Brief&format=simplified": whole,
    "entities?type=Brief&limit=1&offset=0&q=a==1": whole,
    "entities?type=Brief&orderBy=a": whole,
    "entities?type=Brief&count=true&limit=0": counted,
    "entities?id=urn:x:brief&type=Brief": whole,
    "entities/urn:x:long?join=inline": lambda answer: b'"Brief"' in answer.body,
    "entities?type=Long&join=flat": lambda answer: b'"Brief"' in answer.body,
    "entities?q=!none&type=Brief": whole,
}
ATTRIBUTE: dict[str, Callable[[Answer], bool]] = {
    "entities/urn:x:long": part,
    "entities/urn:x:long?format=concise": part,
    "entities/urn:x:long?attrs=soon": part,
    "entities?type=Long": part,
    "entities?attrs=soon": part,
    "entities?q=soon==1": part,
    "entities?q=lasting.fleeting==1": part,
    "entities?type=Long&orderBy=soon": part,
    "entities?q=soon&count=true&limit=0": counted,
    "entities?type=Long&q=!soon&count=true&limit=0": lambda answer: not counted(answer),
    f"temporal/entities/urn:x:long?{PAST}": part,
    f"temporal/entities?type=Long&{PAST}": part,
}


@pytest.mark.clause("4.22")
async def test_nothing_is_seen_of_what_has_expired(api: Api) -> None:
    await api.make({"id": "urn:x:1", "type": "First"})  # makes the tenant, which takes a while
    began = time.time()
    await asyncio.gather(*(api("GET", path) for path in ENTITY | ATTRIBUTE))
    end = time.time() + 1 + 5 * (time.time() - began)  # long enough for all to be seen before, however busy
    expires = {"expiresAt": moment(end)}
    await api.make(
        {"id": "urn:x:brief", "type": "Brief", "a": 1, **expires},
        {
            "id": "urn:x:long",
            "type": "Long",
            "soon": {"value": 1, **expires},
            "lasting": {"value": 2, "fleeting": {"value": 1, **expires}},
            "to": {"object": "urn:x:brief"},
        },
    )
    seen: set[str] = set()

    async def watch(path: str, is_shown: Callable[[Answer], bool], **headers: str) -> None:
        while (began := time.time()) < end + 0.3:
            answer = await api("GET", path, headers=headers)
            if is_shown(answer):
                assert began < end, (path, began - end, answer.body)
                seen.add(path)
            await asyncio.sleep(0.02)

    reads = [watch(path, check) for path, check in (ENTITY | ATTRIBUTE).items()]
    media: list[dict[str, Any]] = [{"Accept": LD_JSON}, {"Accept": GEO_JSON}]
    reads += [watch("entities/urn:x:brief", whole, **headers) for headers in media]
    await asyncio.gather(*reads)
    assert seen == (ENTITY | ATTRIBUTE).keys()
    await api.make({"id": "urn:x:brief", "type": "Brief", "a": 2})


@pytest.mark.clause("4.22")
async def test_what_is_extended_stays_and_what_is_cut_short_goes(api: Api) -> None:
    await api.make(room("urn:x:2"))
    began = time.time()
    await api.make(room(heat=1))
    soon = time.time() + 0.5 + 20 * (time.time() - began)  # later than the next three requests
    await api.make({"id": "urn:x:brief", "type": "T", "expiresAt": moment(soon)})
    for _ in range(2):
        assert whole(await api("GET", "entities/urn:x:brief"))
    later = {"expiresAt": moment(time.time() + 3600)}
    assert (await api("PATCH", "entities/urn:x:brief", later)).status == 204
    await asyncio.sleep(soon + 0.1 - time.time())
    assert whole(await api("GET", "entities/urn:x:brief"))
    for _ in range(3):
        assert (await api("GET", "entities/urn:x:1")).status == 200
    await api("PATCH", "entities/urn:x:1", {"expiresAt": moment(time.time() - 1)})
    for _ in range(4):
        assert (await api("GET", "entities/urn:x:1")).status == 404


async def test_both_workers_show_what_was_written_last_in_every_form(api: Api) -> None:
    """Renderings are remembered by each worker: of each format, media type and @context, and each tenant."""
    other = Api(api._http, api.root.removesuffix("/"), {"NGSILD-Tenant": f"{api.tenant['NGSILD-Tenant']}b"})
    await api.make(room(heat=0))
    await other.make(room(heat="other"))
    core = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context-v1.9.jsonld"
    forms: list[dict[str, str]] = [{}, {"Accept": LD_JSON}, {"Accept": GEO_JSON}, linked(core)]
    for value in range(1, 6):
        assert (await api("PATCH", "entities/urn:x:1/attrs/heat", {"value": value})).status == 204
        for headers in forms * 2:
            for path in ("entities/urn:x:1", "entities?type=T"):
                for options in ("", "simplified", "concise", "sysAttrs"):
                    mark = "&" if "?" in path else "?"
                    answer = await api(
                        "GET", path + (f"{mark}options={options}" if options else ""), headers=headers
                    )
                    assert str(value).encode() in answer.body.replace(b"v1.9", b"").replace(b"2026", b"")
                    assert b"other" not in answer.body
                    assert (b"createdAt" in answer.body) == (options == "sysAttrs")
                    assert (b"Feature" in answer.body) == (headers.get("Accept") == GEO_JSON)
                    assert (b"@context" in answer.body) == (headers.get("Accept") in (LD_JSON, GEO_JSON))
    assert (await other.entity())["heat"] == "other"
