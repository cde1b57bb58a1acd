"""The kinds of attribute (clauses 4.5.2 to 4.5.24, 4.7) and the members that each may carry."""

from dataclasses import dataclass

from broker.core.jsonld.core_context import NGSI_LD


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of attribute: its `type`, the member that holds its value, and members it alone may have."""

    type: str
    value: str
    own: frozenset[str] = frozenset()


KINDS = {
    kind.type: kind
    for kind in (
        Kind("Property", "value", frozenset({"unitCode", "valueType"})),
        Kind("GeoProperty", "value"),
        Kind("Relationship", "object", frozenset({"objectType"})),
        Kind("LanguageProperty", "languageMap", frozenset({"valueType"})),
        Kind("VocabProperty", "vocab"),
        Kind("JsonProperty", "json"),
        Kind("ListProperty", "valueList", frozenset({"unitCode", "valueType"})),
        Kind("ListRelationship", "objectList", frozenset({"objectType"})),
    )
}

# Concise input: the member that holds the value tells the kind (4.5.2.3 … 4.5.24.3).
BY_VALUE = {kind.value: kind for kind in KINDS.values() if kind.type != "GeoProperty"}

GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"})

# Attributes that are GeoProperties wherever they are (4.7.1).
GEO_ATTRIBUTES = frozenset(NGSI_LD + name for name in ("location", "observationSpace", "operationSpace"))

TYPE = frozenset({"type", "@type"})
# Members of an instance that are not sub-attributes, whatever its kind.
NON_REIFIED = TYPE | {"datasetId", "observedAt", "expiresAt"}
# The broker's own members: what a client says of them is ignored (5.2.2).
SYSTEM = frozenset({"createdAt", "modifiedAt", "deletedAt", "instanceId"})
# Output only, or of another kind: an error wherever a client sends one that its kind does not have.
RESERVED = frozenset(
    {"unitCode", "valueType", "objectType", "entity", "entityList", "entityIdSealed", "entityTypeSealed"}
    | BY_VALUE.keys()
    | {"previous" + name[0].upper() + name[1:] for name in BY_VALUE}
)
# Members that only an instance of an attribute has: never a sub-attribute, nor what a bare value is made of.
OF_INSTANCES = (NON_REIFIED | SYSTEM | RESERVED) - TYPE
