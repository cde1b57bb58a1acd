"""Linked entities inside what links to them."""

from typing import Any

import pytest

from broker.core import Entity
from broker.core.entity import parse, update
from broker.core.entity.linked_entities import Inlined, Join, links
from broker.core.entity.view import View
from broker.core.errors import TooManyResults
from broker.core.lang import projection
from tests.core.documents import CORE, NOW

pytestmark = pytest.mark.clause("4.5.23")


def entity(entity_id: str, **attrs: Any) -> Entity:
    found = update.create(parse.entity({"id": entity_id, "type": "T", **attrs}, CORE))(None, NOW).after
    assert found is not None
    return found


def to(*ids: str, **more: Any) -> dict[str, Any]:
    return {"type": "Relationship", "object": ids[0] if len(ids) == 1 else list(ids), **more}


A = entity("urn:x:a", near=to("urn:x:b"), name="A")
B = entity("urn:x:b", near=to("urn:x:c", "urn:x:gone"), name="B")
C = entity("urn:x:c", near=to("urn:x:a"), name="C")
ALL = {one["id"]: one for one in (A, B, C)}


def shown(one: Entity, join: Join, shape: View | None = None) -> dict[str, Any]:
    return Inlined(ALL, join, CORE).show(one, shape or View("concise"))


def test_links_are_followed_to_their_level_and_never_in_a_circle() -> None:
    near = {level: shown(A, Join("inline", level))["near"] for level in (1, 2, 3, 9)}
    assert near[1]["entity"]["name"] == "B"
    assert "entity" not in near[1]["entity"]["near"]
    assert [one["id"] for one in near[2]["entity"]["near"]["entity"]] == ["urn:x:c"]
    assert near[3] == near[9]
    assert near[9]["entity"]["near"]["entity"][0]["near"] == {"object": "urn:x:a"}


def test_what_the_client_has_already_is_left_out() -> None:
    assert "entity" not in shown(A, Join("inline", 2, frozenset({"urn:x:b"})))["near"]


def test_simplified_links_are_replaced_by_what_they_lead_to() -> None:
    found = shown(B, Join("inline"), View("simplified"))
    assert found["near"] == [{"id": "urn:x:c", "type": "T", "near": "urn:x:a", "name": "C"}, "urn:x:gone"]


def test_every_instance_and_lists_of_links_have_their_own() -> None:
    way = {"type": "ListRelationship", "objectList": ["urn:x:c", "urn:x:gone", "urn:x:b"]}
    both = [to("urn:x:b"), to("urn:x:gone", datasetId="urn:d:1")]
    one = entity("urn:x:d", way=way, near=both)
    found = shown(one, Join("inline"), View())
    assert [inner["id"] for inner in found["way"]["entityList"]] == ["urn:x:c", "urn:x:b"]
    assert [inner.get("entity", {}).get("id") for inner in found["near"]] == ["urn:x:b", None]
    simple = shown(one, Join("inline"), View("simplified"))
    assert [inner if isinstance(inner, str) else inner["id"] for inner in simple["way"]] == way["objectList"]
    assert simple["near"]["dataset"]["@none"]["id"] == "urn:x:b"
    assert simple["near"]["dataset"]["urn:d:1"] == "urn:x:gone"


def test_projections_in_braces_are_of_what_is_linked() -> None:
    pick = projection.parse("pick", "id,near{name,near}", CORE.expand)
    omit = projection.parse("omit", "near{near{type,name,near}}", CORE.expand)
    found = shown(A, Join("inline", 2), View("concise", pick=pick, omit=omit))
    inner = {"object": ["urn:x:c", "urn:x:gone"], "entity": [{"id": "urn:x:c"}]}
    assert found == {
        "id": "urn:x:a",
        "near": {"object": "urn:x:b", "entity": {"near": inner, "name": "B"}},
    }


def test_only_relationships_that_are_shown_are_followed() -> None:
    omit = projection.parse("omit", "near", CORE.expand)
    assert [uri for uri, _ in links(B, View())] == ["urn:x:c", "urn:x:gone"]
    assert links(B, View(omit=omit)) == []
    assert links(B, View(datasets=frozenset({"urn:d:1"}))) == []


def test_an_answer_has_a_bound() -> None:
    """Seven entities that all link to each other, at every level: thousands of paths."""
    ids = [f"urn:x:{number}" for number in range(7)]
    everyone = {one: entity(one, near=to(*ids)) for one in ids}
    with pytest.raises(TooManyResults, match="100"):
        Inlined(everyone, Join("inline", 10, most=100), CORE).show(everyone[ids[0]], View())
