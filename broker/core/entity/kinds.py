"""The kinds of attributes (clauses 4.5.2 to 4.5.24, 4.7) and the members that their instances may have."""

from dataclasses import dataclass

from broker.core.jsonld.core_context import NGSI_LD


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of attribute: its `type`, the member for its value, and members that not all kinds have."""

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

# In concise input the member that holds the value determines the kind (4.5.2.3 … 4.5.24.3).
BY_VALUE = {kind.value: kind for kind in KINDS.values() if kind.type != "GeoProperty"}

GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"})

# Attributes that are always GeoProperties (4.7.1).
GEO_ATTRIBUTES = frozenset(NGSI_LD + name for name in ("location", "observationSpace", "operationSpace"))

TYPE = frozenset({"type", "@type"})
# Members of an instance that are not sub-attributes, whatever its kind.
NON_REIFIED = TYPE | {"datasetId", "observedAt", "expiresAt"}
# Members that only the broker sets: they are ignored when a client sends them (5.2.2).
SYSTEM = frozenset({"createdAt", "modifiedAt", "deletedAt", "instanceId"})
# Members of output, or of certain kinds: an error where the kind does not have them.
RESERVED = frozenset(
    {"unitCode", "valueType", "objectType", "entity", "entityList", "entityIdSealed", "entityTypeSealed"}
    | BY_VALUE.keys()
    | {"previous" + name[0].upper() + name[1:] for name in BY_VALUE}
)
# Members that only instances have: they never name a sub-attribute or a member of a bare value.
OF_INSTANCES = (NON_REIFIED | SYSTEM | RESERVED) - TYPE
