"""`after` and `orderFrom` from their own grammars, nearly right: what is none of them is told so."""

import base64
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Json
from broker.core.entity.kinds import GEOMETRIES
from tests.core.documents import POINT, json_values
from tests.fuzz.test_requests import hurried
from tests.fuzz.wire import Request, Wire

TENANT = "fuzz-grammars"
ENTITIES = "/ngsi-ld/v1/entities"

_NUMBERS = st.one_of(
    st.integers(-200, 200),
    st.floats(),
    st.sampled_from([2**31, 2**63, 2**64 - 1, 2**64, 10**30, 10**34, 10**40, -(10**400), 1e308, 5e-324]),
)
_TEXTS = st.sampled_from(["", "a", "\0", "$a", "a.b", "\ud800", "urn:x:1", "@value", "é" * 400])


def deep(levels: int, value: Json, *, objects: bool) -> Json:
    """A value inside so many arrays, or objects."""
    for _ in range(levels):
        value = {"a": value} if objects else [value]
    return value


def values() -> st.SearchStrategy[Json]:
    """Values that sort keys have, and values that none has."""
    plain = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS, json_values(6))
    some = st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(_TEXTS, plain, max_size=3))
    levels = st.sampled_from([0, 0, 0, 0, 1, 3, 90, 97, 98, 99, 150, 180, 200, 300])
    return st.builds(lambda n, value, objects: deep(n, value, objects=objects), levels, some, st.booleans())


def keys() -> st.SearchStrategy[str]:
    """Keys of pages in an order by two terms: base64url of [[[rank, value], …], id]."""
    rank = st.integers(-1, 11) | _NUMBERS
    pair = st.one_of(
        st.tuples(rank, values()).map(list), st.tuples(rank).map(list), st.lists(values(), max_size=3)
    )
    pairs = st.lists(pair, min_size=2, max_size=2) | st.lists(pair, max_size=3) | values()
    entity = st.sampled_from(["urn:x:1", "urn:x:\0", "x", "", "$a:b", "urn:" + "x" * 900]) | values()
    whole = st.tuples(pairs, entity).map(list) | values()
    return st.one_of(whole.map(_packed), st.text(max_size=8), whole.map(json.dumps))


def _packed(key: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def coordinates() -> st.SearchStrategy[str]:
    """Coordinates of geometries, as text."""
    position = st.lists(_NUMBERS, min_size=2, max_size=4) | st.lists(_NUMBERS | _TEXTS, max_size=5)
    line = st.lists(position, max_size=5) | position.map(lambda one: [one] * 4)
    ring = st.lists(line, max_size=3)
    some: st.SearchStrategy[Json] = st.one_of(position, line, ring, st.lists(ring, max_size=2), values())
    nested = st.integers(0, 2500).flatmap(lambda n: st.sampled_from(["[" * n, "[" * n + "1" + "]" * n]))
    return st.one_of(some.map(json.dumps), nested, st.text(max_size=8))


def pages() -> st.SearchStrategy[dict[str, str]]:
    """Parameters of queries behind some key."""
    order = st.sampled_from([{"orderBy": "a,heat;desc"}, {"orderBy": "a,id", "collation": "und"}, {}])
    return st.builds(lambda by, after: {**by, "after": after}, order, keys())


def origins() -> st.SearchStrategy[dict[str, str]]:
    """Parameters of queries by distance from somewhere."""
    kinds = st.sampled_from([*sorted(GEOMETRIES), "Circle"])
    order = st.sampled_from(["location;dist-asc", "location;dist-desc,a", "a"])
    return st.builds(
        lambda by, kind, text: {"orderBy": by, "orderGeometry": kind, "orderFrom": text},
        order,
        kinds,
        coordinates(),
    )


def shapes() -> st.SearchStrategy[dict[str, str]]:
    """Parameters of geoqueries, whose coordinates are those of orders."""
    relations = st.sampled_from(["within", "intersects", "near;maxDistance==5", "disjoint", "equals"])
    return st.builds(
        lambda georel, kind, text: {"georel": georel, "geometry": kind, "coordinates": text},
        relations,
        st.sampled_from(sorted(GEOMETRIES)),
        coordinates(),
    )


async def asked(wire: Wire, params: dict[str, str]) -> None:
    """Asks; the connection checks that the answer is one, and no fault of ours."""
    text = urlencode({"type": "T", **params}, errors="surrogatepass")
    headers = (("NGSILD-Tenant", TENANT),)
    if len(text) > 8000:  # longer than any line of HTTP may be
        return
    reply = await wire.send(Request("GET", f"{ENTITIES}?{text}", headers))
    assert reply.status in (200, 400, 403, 404), (params, reply)


@pytest.fixture(scope="module")
async def wire(wires: list[Wire]) -> Wire:
    """A connection to a broker that has something to put in order."""
    docs = [
        {"id": "urn:x:1", "type": "T", "a": 10**18, "heat": "x", "location": POINT},
        {"id": "urn:x:2", "type": "T", "a": {"type": "Property", "value": {"b": [1]}}},
    ]
    for doc in docs:
        body = json.dumps(doc).encode()
        headers = (
            ("NGSILD-Tenant", TENANT),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        )
        await wires[0].send(Request("POST", ENTITIES, headers, body))
    return wires[0]


GRAMMARS: list[Callable[[], st.SearchStrategy[dict[str, str]]]] = [pages, origins, shapes]


@pytest.mark.parametrize("grammar", GRAMMARS)
async def test_nearly_right_parameters(
    wire: Wire, grammar: Callable[[], st.SearchStrategy[dict[str, str]]]
) -> None:
    await fuzzed(wire, grammar(), 60)


@pytest.mark.slow
@pytest.mark.parametrize("grammar", GRAMMARS)
async def test_many_nearly_right_parameters(
    wire: Wire, grammar: Callable[[], st.SearchStrategy[dict[str, str]]]
) -> None:
    await fuzzed(wire, grammar(), 150)


async def fuzzed(wire: Wire, params: st.SearchStrategy[dict[str, str]], count: int) -> None:
    """So many requests with parameters of a grammar."""
    found: list[dict[str, str]] = []

    @given(params)
    @settings(hurried, max_examples=count)
    def draw(one: dict[str, str]) -> None:
        found.append(one)

    draw()
    for one in found:
        await asked(wire, one)
