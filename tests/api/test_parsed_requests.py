"""What requests ask for is remembered by their words, and by nothing less."""

import secrets
from collections.abc import Hashable
from typing import Any

import aiohttp
import pytest

from broker.api.accept import JSON, LD_JSON
from broker.api.parsed_requests import ParsedRequests
from broker.api.representation import Representation
from broker.core.entity.view import View
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context

ENTITIES = "/ngsi-ld/v1/entities"
NAMES = Context(None, {}, {}, "https://names/")


def read(text: str) -> list[str]:
    """A reader whose results are told apart by identity."""
    return [text]


def other(text: str) -> list[str]:
    """Another reader of the same words."""
    return [text, text]


def refuse(text: str) -> list[str]:
    """A reader that takes nothing."""
    raise BadRequestData(f"{text}: {secrets.token_hex(4)}")


def test_the_same_words_are_read_once() -> None:
    readings = ParsedRequests()
    assert readings.get(read, "a=1", JSON, "x") is readings.get(read, "a=1", JSON, "x")


def test_other_words_readers_and_headers_are_told_apart() -> None:
    readings = ParsedRequests()
    first = readings.get(read, "a=1", JSON, "x")
    for one in (
        readings.get(read, "a=2", JSON, "x"),
        readings.get(read, "a=1", LD_JSON, "x"),
        readings.get(other, "a=1", JSON, "x"),
    ):
        assert one is not first
    assert readings.get(read, "a=1", JSON, "x") is first


def test_what_was_not_used_for_long_goes_first() -> None:
    readings = ParsedRequests(1000)
    first, second = (readings.get(read, f"a={n}", None, "x") for n in range(2))
    for n in range(2, 10):
        assert readings.get(read, "a=0", None, "x") is first
        readings.get(read, f"a={n}", None, "x")
    assert readings.get(read, "a=1", None, "x") is not second


def test_a_long_query_string_counts_by_its_length() -> None:
    readings = ParsedRequests(1000)
    first = readings.get(read, "a=0", None, "x")
    long = readings.get(read, "q=" + "x" * 2000, None, "x")
    assert readings.get(read, "q=" + "x" * 2000, None, "x") is not long
    assert readings.get(read, "a=0", None, "x") is not first


@pytest.mark.parametrize("beside", ["x" * 2000, (None, "x" * 2000, NAMES), ("x" * 2000, None, NAMES)])
def test_long_headers_count_by_their_length(beside: Hashable) -> None:
    readings = ParsedRequests(1000)
    first = readings.get(read, "a=0", None, "x")
    long = readings.get(read, "a=1", beside, "x")
    assert readings.get(read, "a=1", beside, "x") is not long
    assert readings.get(read, "a=0", None, "x") is not first


def test_evicted_requests_leave_room_for_as_many_new_ones() -> None:
    readings = ParsedRequests(1000)
    for n in range(100):
        readings.get(read, f"a={n}", ("x" * 100, None, NAMES), "x")
    first, second = (readings.get(read, f"b={n}", ("x" * 100, None, NAMES), "x") for n in range(2))
    assert readings.get(read, "b=0", ("x" * 100, None, NAMES), "x") is first
    assert readings.get(read, "b=1", ("x" * 100, None, NAMES), "x") is second


def test_what_is_refused_is_read_anew() -> None:
    readings = ParsedRequests()
    refusals = []
    for _ in range(2):
        with pytest.raises(BadRequestData) as refused:
            readings.get(refuse, "a=1", None, "a")
        refusals.append(refused.value.detail)
    assert refusals[0] != refusals[1]


def test_equal_shapes_have_one_renderer_and_others_their_own() -> None:
    shapes = [
        Representation(media, context, View(sys_attrs=sys_attrs), "https://names/location", is_linked=True)
        for media in (JSON, LD_JSON)
        for context in (NAMES, NAMES.under("https://other/"))
        for sys_attrs in (False, True)
    ]
    renderers = [one.renderer(alone=alone) for one in shapes for alone in (False, True)]
    assert len(set(renderers)) == len(renderers) == 16
    again = Representation(JSON, NAMES, View(), "https://names/location", is_linked=True)
    assert again.renderer() is renderers[0]


async def _create(http: aiohttp.ClientSession, headers: dict[str, str], entity: dict[str, Any]) -> None:
    async with http.post(ENTITIES, json=entity, headers=headers) as answer:
        assert answer.status == 201, await answer.text()


async def _get(http: aiohttp.ClientSession, path: str, headers: dict[str, str]) -> Any:
    async with http.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json(content_type=None)


async def test_tenants_and_media_types_do_not_mix(
    http: aiohttp.ClientSession, tenant: dict[str, str]
) -> None:
    other = {"NGSILD-Tenant": f"t{secrets.token_hex(6)}"}
    for name, n in ((tenant, 1), (other, 2)):
        await _create(
            http,
            name,
            {"id": "urn:x:1", "type": "T", "n": {"type": "Property", "value": n}, "location": PLACE},
        )
    for _ in range(2):
        for path, whole in ((f"{ENTITIES}?type=T&q=n>0", False), (f"{ENTITIES}/urn:x:1", True)):
            for name, n in ((tenant, 1), (other, 2)):
                found = await _get(http, path, name)
                one = found if whole else found[0]
                assert one["n"]["value"] == n
                assert "@context" not in one
                linked = await _get(http, path, {**name, "Accept": LD_JSON})
                assert "@context" in (linked if whole else linked[0])
                feature = await _get(http, path, {**name, "Accept": "application/geo+json"})
                assert "@context" in feature
                bare = {**name, "Accept": "application/geo+json", "Prefer": "body=json"}
                assert "@context" not in await _get(http, path, bare)


PLACE = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [1, 2]}}


async def test_contexts_do_not_mix(http: aiohttp.ClientSession, tenant: dict[str, str]) -> None:
    links = []
    for n in (1, 2):
        context = {"@context": {"T": f"https://one.example/T{n}", "n": f"https://one.example/n{n}"}}
        async with http.post("/ngsi-ld/v1/jsonldContexts", json=context, headers=tenant) as answer:
            assert answer.status == 201
            url = f"{http._base_url}".rstrip("/") + answer.headers["Location"]
        links.append(f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"')
        entity = {"id": f"urn:x:{n}", "type": "T", "n": {"type": "Property", "value": n}}
        await _create(http, {**tenant, "Link": links[-1]}, entity)
    for _ in range(2):
        for n, link in enumerate(links, 1):
            headers = {**tenant, "Link": link}
            found = await _get(http, f"{ENTITIES}?type=T&q=n>0", headers)
            assert [one["id"] for one in found] == [f"urn:x:{n}"]
            assert (await _get(http, f"{ENTITIES}/urn:x:1", headers)).get("n") is not None or n == 2
        names = [
            (await _get(http, f"{ENTITIES}/urn:x:1", {**tenant, "Link": link}))["type"] for link in links
        ]
        assert names == ["T", "https://one.example/T1"]
