"""Steps as HTTP requests (4.3.6.5, 4.3.6.6, 6.3.19), row by row."""

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson
import pytest

from broker.contexts.compiler import compile_context
from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.federation.operations import NAMES
from broker.core.federation.origin import Origin
from broker.core.federation.step import Request, Step
from broker.core.federation.wire import ROUTES, asked_in, is_asked_in_own, request
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from broker.core.lang import geo, q, scope, types
from broker.core.query import Query
from broker.core.selector import Selector
from tests.core.documents import CORE, EX
from tests.core.federation.steps import ID, LINKED, some_source, step

pytestmark = [pytest.mark.clause("4.3.6.6"), pytest.mark.clause("6.3.19")]

ROOT = "http://source:9/ngsi-ld/v1/"
OTHER_URL = "https://ex.org/other.jsonld"
HEAT = "https://ex.org/t/heat"
OTHER = compile_context({"Zimmer": "https://ex.org/Room", "warm": HEAT}, {}).under(OTHER_URL)
ORIGIN = Origin("")
DOC = {"id": ID, "type": "Room", "heat": {"type": "Property", "value": 5}}


def sent(step: Step, origin: Origin = ORIGIN, **contexts: Any) -> Request:
    """The request of a step, in the names that it asks for."""
    known = {None: CORE, OTHER_URL: OTHER} | contexts
    return request(step, origin, "me", step.context if is_asked_in_own(step) else known[asked_in(step)])


def url(step: Step) -> str:
    return unquote(sent(step).url)


def body(step: Step) -> Json:
    return orjson.loads(sent(step).body or b"null")


@pytest.mark.parametrize(
    ("operation", "members", "method", "path"),
    [
        ("retrieveEntity", {"entity_id": ID}, "GET", f"entities/{ID}?options=sysAttrs"),
        ("createEntity", {"doc": DOC}, "POST", "entities"),
        ("replaceEntity", {"entity_id": ID, "doc": DOC}, "PUT", f"entities/{ID}"),
        ("mergeEntity", {"entity_id": ID, "doc": DOC}, "PATCH", f"entities/{ID}"),
        ("updateEntity", {"entity_id": ID, "doc": DOC}, "PATCH", f"entities/{ID}/attrs/"),
        ("appendAttrs", {"entity_id": ID, "doc": DOC}, "POST", f"entities/{ID}/attrs/"),
        ("updateAttrs", {"entity_id": ID, "attr": HEAT, "doc": {}}, "PATCH", f"entities/{ID}/attrs/heat"),
        ("replaceAttrs", {"entity_id": ID, "attr": HEAT, "doc": {}}, "PUT", f"entities/{ID}/attrs/heat"),
        ("deleteAttrs", {"entity_id": ID, "attr": HEAT}, "DELETE", f"entities/{ID}/attrs/heat"),
        ("deleteAttrs", {"entity_id": ID, "attr": "scope"}, "DELETE", f"entities/{ID}/attrs/scope"),
        ("deleteEntity", {"entity_id": ID}, "DELETE", f"entities/{ID}"),
        ("purgeEntity", {"query": Query(types.parse("Room", EX.expand))}, "DELETE", "entities?type=Room"),
        ("queryEntity", {"query": Query(types.parse("Room", EX.expand))}, "GET",
         "entities?type=Room&limit=20&options=sysAttrs"),
        ("queryBatch", {"query": Query(limit=3, offset=2, count=True)}, "POST",
         "entityOperations/query?limit=3&offset=2&count=true&options=sysAttrs"),
    ],
)  # fmt: skip
def test_method_and_path(operation: str, members: dict[str, Any], method: str, path: str) -> None:
    made = sent(step(operation, **members))
    assert (made.method, unquote(made.url)) == (method, ROOT + path)


def test_every_route_is_of_an_operation() -> None:
    assert set(ROUTES) <= NAMES


def test_ids_and_names_are_encoded() -> None:
    made = sent(step("deleteAttrs", context=CORE, entity_id="urn:x:a/b?c#d%e", attr=HEAT))
    assert made.url == ROOT + "entities/urn:x:a%2Fb%3Fc%23d%25e/attrs/https:%2F%2Fex.org%2Ft%2Fheat"


def test_a_document_goes_as_it_came_where_the_source_knows_the_names() -> None:
    doc = {"heat": {"type": "Property", "value": 1}, "odd": [None]}
    assert body(step("updateAttrs", entity_id=ID, attr=HEAT, doc=doc)) == doc
    assert body(step("createEntity", doc=DOC, context=CORE)) == DOC


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("https://ex.org/c.jsonld", "https://ex.org/c.jsonld"),
        (["https://ex.org/c.jsonld"], "https://ex.org/c.jsonld"),
        (["https://ex.org/c.jsonld", CORE_CONTEXT_URL], "https://ex.org/c.jsonld"),
        (["https://ex.org/c.jsonld", "https://ex.org/d.jsonld"], None),
        (["https://ex.org/c.jsonld", {"a": "urn:a"}], None),
        ({"a": "urn:a"}, None),
        ("/ngsi-ld/v1/jsonldContexts/1", None),
        (CORE_CONTEXT_URL, None),
        ([CORE_CONTEXT_URL], None),
        (None, None),
    ],
)
def test_one_url_is_passed_on_as_a_link(source: Json, url: str | None) -> None:
    made = sent(step("createEntity", context=EX.under(source), doc=DOC))
    assert made.headers["Content-Type"] == "application/json"
    link = f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
    assert made.headers.get("Link") == (None if url is None else link)
    assert b"@context" not in (made.body or b"")


def test_without_one_url_names_are_of_the_core_context() -> None:
    doc = {**DOC, "cold": 1, "heat": {"value": 5, "heat": {"value": 1}}}
    assert body(step("createEntity", context=EX, doc=doc)) == {
        "id": ID, "type": "https://ex.org/Room", "cold": 1, HEAT: {"value": 5, HEAT: {"value": 1}},
    }  # fmt: skip
    gated = step("deleteEntity", context=EX, entity_id=ID, params={"type": "Room|T"})
    assert url(gated).endswith("?type=https://ex.org/Room|T")


class TestAnotherContext:
    """The pair jsonldContext."""

    SOURCE = some_source(pairs={"jsonldContext": OTHER_URL, "contentType": "application/ld+json"})

    def test_a_body(self) -> None:
        made = sent(step("createEntity", self.SOURCE, doc=DOC))
        assert orjson.loads(made.body or b"") == {
            "id": ID, "type": "Zimmer", "warm": {"type": "Property", "value": 5},
        }  # fmt: skip
        assert made.headers["Content-Type"] == "application/json"
        assert made.headers["Link"].startswith(f"<{OTHER_URL}>;")

    def test_a_partial_document(self) -> None:
        doc = {"heat": {"value": 1}, "observedAt": "2026-01-01T00:00:00Z", "objectType": ["Room", "T"]}
        partial = step("updateAttrs", self.SOURCE, entity_id=ID, attr=HEAT, doc=doc)
        assert url(partial).endswith("/attrs/warm")
        assert body(partial) == {
            "warm": {"value": 1}, "observedAt": "2026-01-01T00:00:00Z", "objectType": ["Zimmer", "T"],
        }  # fmt: skip

    def test_a_query(self) -> None:
        query = Query(
            types.parse("(Room;T),T", EX.expand),
            q=q.parse("heat>5;cold{Room:heat}", EX.expand),
            attrs=(HEAT,),
            geo=geo.parse({"georel": "near;maxDistance==5", "geometry": "Point", "coordinates": [1, 2],
                           "geoproperty": "heat"}, EX.expand),
            scope=scope.parse("/A/#;/B,C"),
        )  # fmt: skip
        assert url(step("queryEntity", self.SOURCE, query=query)) == (
            ROOT + "entities?type=(Zimmer;T)|T&attrs=warm&q=warm>5;cold{Zimmer:warm}"
            "&georel=near;maxDistance==5&geometry=Point&coordinates=[1,2]&geoproperty=warm&scopeQ=(/A/#;/B)|/C&limit=20&options=sysAttrs"
        )
        assert body(step("queryBatch", self.SOURCE, query=query)) == {
            "type": "Query", "entities": [{"type": "(Zimmer;T)|T"}], "attrs": ["warm"],
            "q": "warm>5;cold{Zimmer:warm}", "scopeQ": "(/A/#;/B)|/C",
            "geoQ": {"georel": "near;maxDistance==5", "geometry": "Point", "coordinates": [1, 2],
                     "geoproperty": "warm"},
        }  # fmt: skip

    def test_parameters(self) -> None:
        purge = step(
            "purgeEntity", self.SOURCE, query=Query(ids=(ID,)), params={"type": "Room", "drop": "heat, cold"}
        )
        assert url(purge) == ROOT + f"entities?type=Zimmer&id={ID}&drop=warm,cold"

    def test_that_of_the_client_changes_nothing(self) -> None:
        same = some_source(pairs={"jsonldContext": LINKED.source})
        assert body(step("createEntity", same, doc=DOC)) == DOC


def test_ld_json_has_its_context_inside() -> None:
    source = some_source(pairs={"contentType": "application/ld+json"})
    made = sent(step("createEntity", source, doc=DOC))
    assert orjson.loads(made.body or b"") == {**DOC, "@context": LINKED.source}
    assert made.headers["Content-Type"] == "application/ld+json"
    assert "Link" not in made.headers
    assert body(step("createEntity", source, CORE, doc=DOC))["@context"] == CORE_CONTEXT_URL
    without_body = sent(step("deleteEntity", source, entity_id=ID))
    assert without_body.headers["Link"].startswith(f"<{LINKED.source}>")
    assert "Content-Type" not in without_body.headers


class TestAnOlderVersion:
    """The pair ngsildConformance."""

    SOURCE = some_source(pairs={"ngsildConformance": "1.3"})

    def test_documents(self) -> None:
        doc = {**DOC, "scope": "/A", "cold": {"vocab": "heat", "expiresAt": "2030-01-01T00:00:00Z"}}
        assert body(step("createEntity", self.SOURCE, doc=doc)) == {
            **DOC, "cold": {"type": "Property", "value": "heat"},
        }  # fmt: skip

    def test_fragments(self) -> None:
        partial = {"observedAt": "urn:ngsi-ld:null", "valueType": "T", "unitCode": "CEL", "type": "Property"}
        assert body(step("updateAttrs", self.SOURCE, entity_id=ID, attr=HEAT, doc=partial)) == {
            "type": "Property", "unitCode": "CEL",
        }  # fmt: skip
        untyped = {"observedAt": "urn:ngsi-ld:null", "heat": {"value": 1}}
        assert body(step("updateAttrs", self.SOURCE, entity_id=ID, attr=HEAT, doc=untyped)) == {
            "heat": {"type": "Property", "value": 1},
        }  # fmt: skip
        assert body(step("replaceAttrs", self.SOURCE, entity_id=ID, attr=HEAT, doc={"json": {"a": 1}})) == {
            "type": "Property", "value": {"a": 1},
        }  # fmt: skip

    def test_bare_values_of_a_merge_stay(self) -> None:
        doc = {"heat": 5}
        bare = step("mergeEntity", self.SOURCE, entity_id=ID, doc=doc, params={"options": "keyValues"})
        assert body(bare) == doc

    def test_reads_say_which(self) -> None:
        assert sent(step("retrieveEntity", self.SOURCE, entity_id=ID)).headers["Prefer"] == "ngsi-ld=1.3"
        assert "Prefer" not in sent(step("deleteEntity", self.SOURCE, entity_id=ID)).headers

    def test_a_document_that_is_none(self) -> None:
        with pytest.raises(BadRequestData):
            sent(step("createEntity", self.SOURCE, doc={"id": ID, "type": "T", "heat": {"type": "Odd"}}))


def test_only_local_sources_get_local_true() -> None:
    source = some_source(localOnly=True)
    assert url(step("deleteEntity", source, entity_id=ID)).endswith("?local=true")


def test_several_selectors_are_one_in_a_query_string() -> None:
    room, t = types.parse("Room", EX.expand), types.parse("T", EX.expand)
    ids = Query(selectors=(Selector(room, ("urn:a:1",)), Selector(t, ("urn:a:2", "urn:a:1"))))
    assert "?type=Room|T&id=urn:a:1,urn:a:2&" in url(step("queryEntity", query=ids))
    patterns = Query(selectors=(Selector(room, id_pattern="^a"), Selector(t, id_pattern="b$")))
    assert "?type=Room|T&idPattern=(?:^a)|(?:b$)&" in url(step("queryEntity", query=patterns))
    mixed = Query(selectors=(Selector(room, ("urn:a:1",)), Selector(t)))
    assert "?type=Room|T&limit" in url(step("queryEntity", query=mixed))
    assert body(step("queryBatch", query=mixed))["entities"] == [
        {"type": "Room", "id": "urn:a:1"}, {"type": "T"},
    ]  # fmt: skip


@pytest.mark.clause("4.3.6.5")
class TestHeaders:
    def test_of_the_request(self) -> None:
        source = some_source(tenant="there", pairs={"accept": "application/ld+json"})
        origin = Origin("here", via=("1.1 a", "1.1 b (x)"), headers={"authorization": "secret"})
        headers = sent(step("retrieveEntity", source, context=CORE, entity_id=ID), origin).headers
        assert headers == {
            "Accept": "application/ld+json", "Via": "1.1 a, 1.1 b (x), 1.1 me", "NGSILD-Tenant": "there",
        }  # fmt: skip

    def test_no_tenant_unless_the_registration_has_one(self) -> None:
        assert "NGSILD-Tenant" not in sent(step("deleteEntity", entity_id=ID), Origin("here")).headers

    def test_pairs(self) -> None:
        pairs = {"X-Key": "fixed", "user": "urn:ngsi-ld:request", "absent": "urn:ngsi-ld:request"}
        origin = Origin("", headers={"user": "abcd"})
        headers = sent(step("deleteEntity", some_source(pairs=pairs), entity_id=ID), origin).headers
        assert (headers["X-Key"], headers["user"]) == ("fixed", "abcd")
        assert "absent" not in headers

    @pytest.mark.parametrize(
        "key",
        ["NGSILD-Tenant", "Via", "Link", "Host", "Content-Length", "content-type", "Connection", "TE",
         "Transfer-Encoding", "Upgrade", "Keep-Alive", "Accept", "Eridanus-Deadline"],
    )  # fmt: skip
    def test_pairs_that_never_are_headers(self, key: str) -> None:
        source = replace(some_source(), headers=((key, "evil"),))
        headers = sent(step("createEntity", source, doc=DOC)).headers
        assert "evil" not in headers.values()
