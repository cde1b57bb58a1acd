"""What queries mean (4.9), on entities written out. `tests/store/test_filters` holds MongoDB to the same."""

from typing import Any

import pytest

from broker.core import Entity
from broker.core.lang import match, q, types
from broker.core.query import Query
from tests.core.lang.selecting import selects

pytestmark = pytest.mark.clause("4.9")

NOW = "2026-07-01T12:00:00.5"


def _instance(type_: str, member: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"type": type_, member: value, "createdAt": NOW, "modifiedAt": NOW, **more}


def _property(value: Any, **more: Any) -> dict[str, Any]:
    return _instance("Property", "value", value, **more)


ENTITY: Entity = {
    "id": "urn:e:1",
    "type": ["Vehicle"],
    "createdAt": NOW,
    "modifiedAt": NOW,
    "attrs": {
        "speed": [
            _property(10, observedAt="2026-07-01T12:00:00", unitCode="KMH"),
            _property(90, datasetId="urn:d:1"),
        ],
        "route": [_property("550")],
        "active": [_property(True)],
        "tags": [_property(["a", "b", 3])],
        "departure": [_property("2026-07-01T12:00:00,50Z")],
        "arrival": [_property({"@type": "DateTime", "@value": "2026-07-01T13:00:00Z"})],
        "opens": [_property("08:30:00Z")],
        "built": [_property("1999-12-31")],
        "address": [
            _property({"city": "Berlin", "lines": [{"n": 1}], "since": "2026-07-01T12:00:00Z", "no": None})
        ],
        "sensor": [_property(40, attrs={"rawdata": [_property({"airquality": {"particulate": 40}})]})],
        "tickets": [_instance("JsonProperty", "json", {"value": "Overstay"})],
        "label": [_instance("LanguageProperty", "languageMap", {"en": "red", "fr": ["chat", "rouge"]})],
        "category": [_instance("VocabProperty", "vocab", "x:commercial")],
        "managedBy": [_instance("Relationship", "object", "urn:p:1")],
        "parts": [_instance("Relationship", "object", ["urn:p:1", "urn:p:2"])],
        "steps": [_instance("ListProperty", "valueList", [1, 2])],
        "stops": [_instance("ListRelationship", "objectList", ["urn:s:1"])],
    },
}

HOLD = """
speed / speed==10 / speed==90 / speed!=10 / speed>50 / speed<50 / speed==5..15 / speed!=5..15
speed==1,90 / speed.unitCode=="KMH" / speed.datasetId==urn:d:1 / speed.observedAt==2026-07-01T12:00:00.00Z
!nothing / createdAt>"2026-07-01T12:00:00.49Z" / createdAt<=2026-07-01T12:00:00.50Z
modifiedAt!=2026-07-01T12:00:00Z / route=="550" / route>"5" / route~="5.*" / route!~="9.*"
route=="551","550" / route!=550 / route=="5".."6" / active==true / active!=false / active!=1 / tags=="b"
tags==3 / tags!="c" / tags!="a".."b" / tags=="z","a" / departure==2026-07-01T12:00:00.5Z
departure>2026-07-01T12:00:00.49Z / departure<2026-07-01T12:00:00.51Z
departure=="2026-07-01T12:00:00,50Z" / arrival>2026-07-01T12:00:00Z / arrival=="2026-07-01T13:00:00.0Z"
arrival>"2026-07-01T12:00:00Z" / arrival<="2026-07-01T13:00:00,0Z" / arrival!="2026-07-01T12:00:00Z"
arrival=="2026-07-01T12:00:00Z".."2026-07-01T14:00:00Z" / arrival=="x","2026-07-01T13:00:00Z"
arrival!="2026-07-01" / opens=="08:30:00Z" / opens<"09" / built<"2"
arrival[@value]=="2026-07-01T13:00:00Z" / opens<09:00:00Z / opens==08:30:00.0Z / built<2000-01-01
built!=1999-12-30 / built==1999-12-01..1999-12-31 / address[city]=="Berlin" / address[city]~="^B"
address[no] / address[no]!=1 / address[since]==2026-07-01T12:00:00Z
sensor.rawdata[airquality.particulate]==40 / sensor==40 / tickets[value]=="Overstay" / address
address!="Berlin" / label[en]=="red" / label[*]=="rouge" / label=="rouge" / label[en]!="rouge"
label[fr]=="chat" / label~="^r" / label[en] / label>"r" / label[*]!="blue" / category==x:commercial
label[fr]~="^r" / label[fr]~="cha" / label~="^c" / label[*]~="t$" / label[fr]!~="z" / label!~="z" / label<"d"
label[fr]>"d" / label[fr]=="b".."d" / label=="b".."d" / label[fr]!="d".."e"
category>"x:a" / managedBy==urn:p:1 / managedBy=="urn:p:1" / parts==urn:p:2 / parts!=urn:p:3 / steps==2
steps!=3 / stops==urn:s:1 / (speed>50|route=="551");active==true
"""

DO_NOT_HOLD = """
nothing / nothing!=1 / nothing.observedAt / !speed / speed=="10" / speed>90 / speed==11..89 / speed~="1"
speed!~="1" / speed!=10..90 / speed.unitCode>"KMH" / speed.observedAt==2026-07-01
speed.observedAt~="2026" / createdAt==1 / route==550 / route>100 / route!="550","551" / route!~="5"
active=="true" / active==1 / tags>2 / tags==3..3 / tags!="a" / tags~="a" / tags!~="z" / tags!="z","a"
departure=="2026-07-01T12:00:00.5Z" / departure>2026-07-01 / arrival!="2026-07-01T13:00:00Z"
arrival>"2026-07-01T13:00:00Z" / arrival>"2026-07-01" / arrival>"2" / arrival~="2026" / opens=="08:30:00.0Z"
arrival=="2026-07-01T12:00:00Z".."2027" / arrival=="2026-13-01T13:00:00Z"
opens>08:30:00Z / address[zip] / address[zip]!="1" / address[lines.n]==1 / address[lines.0.n]==1
address[city.x] / address[*] / address==Berlin / tickets=="Overstay" / label[en]=="rouge"
label[de]!="red" / label[*]!="red" / label!="chat" / label[fr]!="chat" / label!~="r" / label[en.x]
label[fr]~="red" / label[fr]!~="^c" / label[*]!~="^c" / label[fr]=="d".."e" / label[fr]!="b".."d"
label==1 / category==commercial / managedBy>"urn:a" / managedBy~="urn" / managedBy!~="x" / parts!=urn:p:2
steps>1 / label[fr]>"s"
"""


def _terms(table: str) -> list[str]:
    return [text.strip() for line in table.strip().splitlines() for text in line.split(" / ")]


@pytest.mark.parametrize("text", _terms(HOLD))
def test_holds(text: str) -> None:
    assert match.matches(q.parse(text, lambda name: name), ENTITY)


@pytest.mark.parametrize("text", _terms(DO_NOT_HOLD))
def test_does_not_hold(text: str) -> None:
    assert not match.matches(q.parse(text, lambda name: name), ENTITY)


@pytest.mark.parametrize(
    ("query", "selected"),
    [
        (Query(), True),
        (Query(types=types.parse("Vehicle", str)), True),
        (Query(types=types.parse("Other", str)), False),
        (Query(ids=("urn:e:1", "urn:e:2")), True),
        (Query(ids=("urn:e:2",)), False),
        (Query(id_pattern="^urn:e"), True),
        (Query(id_pattern="^e"), False),
        (Query(attrs=("nothing", "route")), True),
        (Query(attrs=("nothing",)), False),
        (Query(q=q.parse("speed>90", str)), False),
    ],
)
def test_all_selectors_of_a_query_count(query: Query, selected: bool) -> None:
    assert selects(query, ENTITY) is selected


@pytest.mark.clause("5.7.2.4")
@pytest.mark.parametrize(
    ("query", "wide"),
    [
        (Query(), True),
        (Query(ids=("urn:e:1",), id_pattern="x"), True),
        (Query(attrs=("https://uri.etsi.org/ngsi-ld/createdAt",)), True),
        (Query(q=q.parse('modifiedAt>"2020-01-01T00:00:00Z"', str)), True),
        (Query(types=types.parse("*", str)), False),
        (Query(attrs=("https://uri.etsi.org/ngsi-ld/createdAt", "a")), False),
        (Query(q=q.parse("a.createdAt", str)), False),
    ],
)
def test_too_wide_without_a_selector(query: Query, wide: bool) -> None:
    assert query.is_too_wide is wide
