"""Requests by hypothesis: right ones, nearly right ones, and nonsense, for every route of the broker."""

from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

import orjson
from hypothesis import strategies as st

from broker.api.routes import ROUTES, Resource
from broker.core import Json
from tests.api.conftest import CORE_URL, JSON, LD_JSON, linked
from tests.api.test_openapi import DOCUMENT, names
from tests.core.documents import NULL, POINT, attributes, entities, json_values
from tests.fuzz.wire import Request

SINK = "http://sink.example/"  # where notifications go; replaced by the URL of one that takes them
IDS = ["urn:x:1", "urn:x:2", "https://ex.org/é?a=1#b"]
_PLAIN_NAMES = ["heat", "a1", "été_2", "name", "https://other.org/p.q"]
NAMES = [*_PLAIN_NAMES, "location", "scope"]

_ODD = [
    "",
    "x",
    ".",
    "..",
    "%2e%2e",
    "%00",
    "%ff",
    "%",
    "%zz",
    "a%2Fb",
    "urn:x:%20",
    "'",
    "*",
    "{}",
    "urn:é",
    "~" * 300,
]
_INSTANTS = [
    "2026-07-01T12:00:00Z",
    "2026-07-01T12:00:00.5Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
]
_VALUES: dict[str, list[str]] = {
    "type": ["T", "T,Room", "(T;Room)|U", "*", "ex:U", ",", "(", "T;U", "(" * 50, "T," * 600 + "T"],
    "id": ["urn:x:1", "urn:x:1,urn:x:2", "x", ","],
    "idPattern": ["^urn", ".*", "[", "(a*)*b", "\\", "(?<=a)", "^urn:x:[12]$", "a{1000}{1000}"],
    "q": ["heat>1", "heat", "!heat;a1==2|name~=a", 'heat=="x"', "heat==1..2", "heat==1,2", "a1[x.y]==true",
          "q", "(" * 30, "heat==", "createdAt>2026-01-01T00:00:00Z", "heat~=[", "name[*]==x",
          "heat=='x'", "heat." * 20, "heat==1e999"],
    "attrs": ["heat", "heat,a1", "createdAt", "type", "heat,", "été_2", "-"],
    "keep": ["heat", "heat,a1", ""],
    "drop": ["heat", "zzz", "type"],
    "options": ["keyValues", "concise", "sysAttrs", "normalized,sysAttrs", "noOverwrite", "update", "replace",
                "replace,update", "temporalValues", "aggregatedValues", "temporalValues,sysAttrs", "?"],
    "format": ["keyValues", "simplified", "concise", "normalized", "temporalValues", "aggregatedValues", "?"],
    "limit": ["1", "2", "0", "1000", "1001", "-1", "\u0661", "x", "9" * 30],
    "offset": ["0", "1", "1000000", "9" * 18, "9" * 19, "-1"],
    "count": ["true", "false", "TRUE", ""],
    "local": ["true", "false", "1"],
    "lang": ["fr", "*", "en-GB", "-", ""],
    "observedAt": [*_INSTANTS, "now", "2026-02-30T00:00:00Z"],
    "timerel": ["before", "after", "between", "at"],
    "timeAt": [*_INSTANTS, "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-07-01"],
    "endTimeAt": [*_INSTANTS, "x"],
    "timeproperty": ["observedAt", "createdAt", "modifiedAt", "deletedAt", "expiresAt"],
    "lastN": ["1", "5", "0", "-1", "999999999", "9999999999"],
    "datasetId": ["urn:d:1", "@none", "x", NULL],
    "deleteAll": ["true", "false", "yes"],
    "geometryProperty": ["location", "heat", "type"],
    "join": ["inline"],
}  # fmt: skip
_ACCEPTS = [
    JSON,
    LD_JSON,
    "application/geo+json",
    "*/*",
    "application/*;q=0.5, application/ld+json",
    "text/html",
    "*/*;q=0",
    ";,;",
    "application/json;q=x",
]
_MEDIAS = (
    [JSON] * 24
    + [LD_JSON] * 6
    + ["application/merge-patch+json", "application/json; charset=utf-8", "text/plain", "", "json"]
)
_LINKS = [
    linked(CORE_URL)["Link"],
    "<>",
    "<x",
    '<>; rel="http://www.w3.org/ns/json-ld#context"',
    "<a>; rel=next, " + linked(CORE_URL)["Link"],
]
_METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "MERGE"]
_CONTEXTS: list[Json] = [
    CORE_URL,
    {"heat": "https://ex.org/heat"},
    [CORE_URL, {"T": "https://ex.org/T"}],
    {},
    [],
    None,
    5,
    {"@vocab": 1},
    {"heat": {"@id": "https://ex.org/h", "@type": "@id"}},
    {"a": "b", "b": "a"},
    {"@import": 5},
]


def subscriptions() -> st.SearchStrategy[Json]:
    """Subscriptions, some of them wrong."""
    selectors = st.fixed_dictionaries(
        {"type": st.sampled_from(["T", "*", "(T;Room)|U", "("])},
        optional={"id": st.sampled_from([*IDS, "x"]), "idPattern": st.sampled_from(_VALUES["idPattern"])},
    )
    endpoint = st.fixed_dictionaries(
        {"uri": st.sampled_from([SINK, SINK, SINK, "mqtt://x", ""])},
        optional={"accept": st.sampled_from([JSON, LD_JSON, "x"]), "timeout": st.sampled_from([1, 0, "x"])},
    )
    notification = st.fixed_dictionaries(
        {"endpoint": endpoint},
        optional={
            "attributes": st.lists(st.sampled_from(NAMES), max_size=2),
            "format": st.sampled_from(["normalized", "concise", "keyValues", "?"]),
            "lastSuccess": st.just("x"),
            "pick": st.just(["heat"]),
        },
    )
    return st.fixed_dictionaries(
        {"type": st.just("Subscription")},
        optional={
            "id": st.sampled_from(["urn:s:1", "urn:s:2", "urn:s:3", "x"]),
            "entities": st.lists(selectors, max_size=2),
            "watchedAttributes": st.lists(st.sampled_from(NAMES), max_size=2),
            "notification": notification,
            "q": st.sampled_from(_VALUES["q"]),
            "throttling": st.sampled_from([1, 0, 1e300, NULL]),
            "expiresAt": st.sampled_from(["2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z", NULL, None]),
            "isActive": st.booleans(),
            "status": st.just("paused"),
        },
    )


def fragments() -> st.SearchStrategy[dict[str, Json]]:
    """Fragments of entities that are right."""
    return st.dictionaries(st.sampled_from(_PLAIN_NAMES), attributes(), min_size=1, max_size=2)


def wild_fragments() -> st.SearchStrategy[dict[str, Json]]:
    """Fragments in any form, with NGSI-LD Nulls at all depths; most of them are wrong."""
    nulls = st.sampled_from(
        [NULL, None, [NULL], {"@none": NULL}, {"value": NULL}, {"type": "Property", "value": NULL}]
    )
    attribute = st.one_of(attributes(), nulled(attributes()), json_values(4), nulled(json_values(4)), nulls)
    return st.dictionaries(st.sampled_from([*NAMES, "type", "expiresAt"]), attribute, min_size=1, max_size=2)


@st.composite
def nulled(draw: st.DrawFn, documents: st.SearchStrategy[Json]) -> Json:
    """A document in which an NGSI-LD Null, or a null, has taken the place of some member."""
    doc = orjson.loads(orjson.dumps(draw(documents)))
    at, step = doc, None
    for _ in range(draw(st.integers(1, 4))):
        inner = at if step is None else at[step]
        steps: list[Any] = (
            list(inner)
            if isinstance(inner, dict)
            else list(range(len(inner)))
            if isinstance(inner, list)
            else []
        )
        if not steps:
            break
        at, step = inner, draw(st.sampled_from(steps))
    if step is not None:
        at[step] = draw(st.sampled_from([NULL, NULL, None, [NULL], {"@none": NULL}]))
    return doc


class Maker:
    """Makes requests by one tenant of a few documents and a text, by dice: hypothesis would take its time."""

    def __init__(self, seed: int, documents: tuple[Json, ...], text: str) -> None:
        self._dice = Random(seed)
        self._pick = self._dice.choice
        self._documents = documents
        self._text = quote(text, safe="")

    def request(self, tenant: str) -> Request:
        """A request, now and then by another tenant."""
        resource = self._pick(ROUTES)
        method = self._pick(_METHODS) if self._one_in(12) else self._pick([*resource.methods])
        headers = {"NGSILD-Tenant": self._pick(["nobody", "not a name", ""]) if self._one_in(16) else tenant}
        if self._one_in(4):
            headers["Accept"] = self._pick(_ACCEPTS)
        if self._one_in(8):
            headers["Link"] = self._pick(_LINKS)
        body = None
        if method in ("POST", "PUT", "PATCH", "MERGE"):
            headers["Content-Type"] = media = self._pick(_MEDIAS)
            body = self._body(resource, media)
            headers["Content-Length"] = str(len(body))
        return Request(method, self._target(resource, method), tuple(headers.items()), body)

    def _one_in(self, count: int) -> bool:
        return self._dice.randrange(count) == 0

    def _target(self, resource: Resource, method: str) -> str:
        path = resource.template
        for variable, usual in _VARIABLES.items():
            if variable in path:
                path = path.replace(
                    variable, quote(self._pick(_ODD), safe="%/.") if self._one_in(16) else self._quoted(usual)
                )
        known = [*_PARAMETERS.get((resource.template, method), ()), self._pick([*_VALUES])]
        chosen = self._dice.sample(known, min(len(known), self._pick([0, 0, 0, 1, 1, 2, 3])))
        query = "&".join(f"{name}={self._quoted(_VALUES.get(name, ['x']))}" for name in chosen)
        return path + self._pick(["", "/", ""] * 9 + ["//"]) + (f"?{query}" if query else "")

    def _quoted(self, usual: list[str]) -> str:
        if self._one_in(20):
            return self._text
        return quote(self._pick(usual), safe=self._pick(["", ":/=,"]))

    def _body(self, resource: Resource, media: str) -> bytes:
        doc = self._document(resource)
        many = doc if isinstance(doc, list) else [doc]
        if media == LD_JSON and not self._one_in(6):
            context = self._pick(_CONTEXTS)
            many = [{"@context": context, **one} if isinstance(one, dict) else one for one in many]
        body = orjson.dumps(many if isinstance(doc, list) else many[0])
        return self._pick(_DAMAGES)(body) if self._one_in(10) else body

    def _document(self, resource: Resource) -> Json:
        """A document that suits the resource, or any."""
        if self._one_in(8):
            return self._pick([*self._documents, [], {}, None, 0])
        first, second, fragment, other, attribute, subscription, anything = self._documents
        template = resource.template
        if template.endswith("/delete"):
            return self._dice.choices([*IDS, "x", None], k=2)
        if "entityOperations" in template:
            named = [{"id": one, **fragment} for one in IDS[:2]]
            return self._dice.choices([first, second, other, anything, *named * 3], k=self._pick([1, 1, 3]))
        if "jsonldContexts" in template:
            return {"@context": self._pick([*_CONTEXTS, {"a": "urn:a"}, [{"a": 5}], 5])}
        if "subscriptions" in template:
            return subscription
        if "{attrId}" in template:
            return self._pick(
                [attribute, anything, {"value": 1}, {"value": NULL}, {"type": "GeoProperty", "value": POINT}]
            )
        return self._pick([fragment, fragment, other, first] if "{" in template else [first, second])


_PARAMETERS = {
    (path, method.upper()): names(path, method, "query")
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters"
}
_VARIABLES = {
    "{entityId}": IDS,
    "{attrId}": NAMES,
    "{subscriptionId}": ["urn:s:1", "urn:s:2", "urn:s:3"],
    "{type}": ["T", *NAMES],
    "{contextId}": [CORE_URL, *NAMES],
}
_DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda body: body[:-1],
    lambda body: b"",
    lambda body: body + b"x",
    lambda body: body.replace(b'"', b"'"),
    lambda body: b"\xff" + body,
    lambda body: b"\xef\xbb\xbf" + body,
    lambda body: body.replace(b"e", b"\\u0000"),
    lambda body: body.replace(b"e", b"\\ud800"),
    lambda body: b'{"id":' * 70 + body + b"}" * 70,
    lambda body: body.replace(b"1", b"1e999"),
    lambda body: body.replace(b":", b":[[[[", 1),
    lambda body: b"NaN",
]


def makers() -> st.SearchStrategy[Maker]:
    """Makers of requests."""
    kinds = (
        entities(),
        entities(),
        fragments(),
        wild_fragments(),
        attributes(),
        subscriptions(),
        json_values(4),
    )
    return st.builds(Maker, st.integers(0, 2**64), st.tuples(*kinds), st.text(max_size=6))
