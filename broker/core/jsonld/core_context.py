"""The core @context (annex B), built in, so that the broker needs no network for it.

The terms are those of the specification, grouped by the type coercion of their values. One copy serves for
every published version of the URL, since versions only add terms.
"""

import re

NGSI_LD = "https://uri.etsi.org/ngsi-ld/"
DEFAULT_VOCAB = NGSI_LD + "default-context/"
CORE_CONTEXT_URL = NGSI_LD + "v1/ngsi-ld-core-context-v1.9.jsonld"
_PUBLISHED = re.compile(r"https?://uri\.etsi\.org/ngsi-ld/v1/ngsi-ld-core-context(-v1\.\d)?\.jsonld")

_PLAIN = """
Attribute AttributeList ContextSourceIdentity ContextSourceNotification ContextSourceRegistration Date
DateTime EntityType EntityTypeInfo EntityTypeList GeoProperty JsonProperty LanguageProperty ListProperty
ListRelationship Notification Property Relationship Subscription TemporalProperty Time VocabProperty
accept attrs cacheDuration contextSourceAlias contextSourceInfo contextSourceUptime cooldown csf data
detail endpoint entities entity entityCount error errors expandValues format geoQ geoproperty georel
idPattern information isActive join jsonKeys lang linkedMaps localOnly location management
managementInterval mode notUpdated notification notificationTrigger notifierInfo observationInterval
observationSpace omit operationSpace operations pick q reason receiverInfo refreshRate registrationId
registrationName scope scopeQ showChanges status subscriptionName sysAttrs temporalQ throttling
timeInterval timeout timeproperty timerel timesFailed timesSent triggerReason unchanged unitCode updated
uri
""".split()
_VOCAB = """
attributeList attributeName attributeNames attributeTypes attributes propertyNames relationshipNames
typeList typeName typeNames watchedAttributes
""".split()
_DATE_TIME = """
contextSourceTimeAt createdAt deletedAt endAt endTimeAt expiresAt lastFailure lastNotification lastSuccess
modifiedAt notifiedAt observedAt startAt timeAt
""".split()
_ID = "datasetId entityId instanceId subscriptionId success tenant".split()
_LIST = "avg distinctCount entityList jsons max min stddev sum sumsq totalCount".split()
_GEOJSON = """
Feature FeatureCollection GeometryCollection LineString MultiLineString MultiPoint MultiPolygon Point
Polygon geometry geometryProperty properties
""".split()
# Terms whose IRI does not end with the term.
_RENAMED = {
    "containedBy": "isContainedBy",
    "entityMap": "hasEntityMap",
    "joinLevel": "hasJoinLevel",
    "key": "hasKey",
}
_HAS = {
    "dataset": {"@id": "hasDataset", "@container": "@index"},
    "json": {"@id": "hasJSON", "@type": "@json"},
    "languageMap": {"@id": "hasLanguageMap", "@container": "@language"},
    "languageMaps": {"@id": "hasLanguageMaps", "@container": "@list"},
    "object": {"@id": "hasObject", "@type": "@id"},
    "objectList": {"@id": "hasObjectList", "@container": "@list"},
    "objectType": {"@id": "hasObjectType", "@type": "@vocab"},
    "objects": {"@id": "hasObjects", "@container": "@list"},
    "objectsLists": {"@id": "hasObjectsLists", "@container": "@list"},
    "previousJson": {"@id": "hasPreviousJson", "@type": "@json"},
    "previousLanguageMap": {"@id": "hasPreviousLanguageMap", "@container": "@language"},
    "previousObject": {"@id": "hasPreviousObject", "@type": "@id"},
    "previousObjectList": {"@id": "hasPreviousObjectList", "@container": "@list"},
    "previousValue": {"@id": "hasPreviousValue"},
    "previousValueList": {"@id": "hasPreviousValueList", "@container": "@list"},
    "previousVocab": {"@id": "hasPreviousVocab", "@type": "@vocab"},
    "value": {"@id": "hasValue"},
    "valueList": {"@id": "hasValueList", "@container": "@list"},
    "valueLists": {"@id": "hasValueLists", "@container": "@list"},
    "values": {"@id": "hasValues", "@container": "@list"},
    "vocab": {"@id": "hasVocab", "@type": "@vocab"},
    "vocabs": {"@id": "hasVocabs", "@container": "@list"},
}


def is_core(url: object) -> bool:
    """Whether this is the URL of a published core @context, of any version."""
    return isinstance(url, str) and _PUBLISHED.fullmatch(url) is not None


def core_context() -> dict[str, object]:
    """The content of the core @context document's `@context`."""
    coerced = [(_VOCAB, "@vocab"), (_DATE_TIME, "DateTime"), (_ID, "@id")]
    return {
        "@version": 1.1,
        "@protected": True,
        "ngsi-ld": NGSI_LD,
        "geojson": "https://purl.org/geojson/vocab#",
        "id": "@id",
        "type": "@type",
        "description": "http://purl.org/dc/terms/description",
        "title": "http://purl.org/dc/terms/title",
        "contextSourceExtras": {"@id": "ngsi-ld:contextSourceExtras", "@type": "@json"},
        "attributeCount": "attributeCount",
        "attributeDetails": "attributeDetails",
        **{term: "ngsi-ld:" + term for term in _PLAIN},
        **{term: "ngsi-ld:" + name for term, name in _RENAMED.items()},
        **{t: {"@id": "ngsi-ld:" + t, "@type": kind} for terms, kind in coerced for t in terms},
        **{term: {"@id": "ngsi-ld:" + term, "@container": "@list"} for term in _LIST},
        **{term: {**definition, "@id": "ngsi-ld:" + definition["@id"]} for term, definition in _HAS.items()},
        **{term: "geojson:" + term for term in _GEOJSON},
        "bbox": {"@id": "geojson:bbox", "@container": "@list"},
        "coordinates": {"@id": "geojson:coordinates", "@container": "@list"},
        "features": {"@id": "geojson:features", "@container": "@set"},
        "@vocab": DEFAULT_VOCAB,
    }


# Terms that a client's @context cannot redefine.
CORE_TERMS = frozenset(core_context())
