"""The rules of NGSI-LD, pure: no I/O, no clock, no randomness. ETSI GS CIM 009 V1.9.1.

An entity inside the broker is a plain dict, in the shape that every room below `api` shares:

    Entity    {"id": uri, "type": [iri, …], "scope": [str, …]?, "createdAt": instant,
               "modifiedAt": instant, "attrs": {iri: [Instance, …]}}
    Instance  {"type": "Property" | "Relationship" | …, <value member>: JSON, "datasetId": uri?,
               "observedAt": instant?, "unitCode": str?, "createdAt": instant?,
               "modifiedAt": instant?, "attrs": {iri: [Instance, …]}?}

`<value member>` is named by the kind of attribute (`entity.kinds`). Names are expanded IRIs, an
attribute is always a list of its instances (one for each datasetId, the default one without), and
instants are ISO 8601 text in UTC without the final Z, so that they sort as text (`instant`). An instance
without createdAt came with its entity, and one without modifiedAt was not modified since it came: most
instances of most entities are so, and what is not there costs nothing (`entity.instances.created_at`).
What a client sent as a value stays as it was sent. Nobody changes an entity in place: rules return
new dicts that share what did not change, and identity tells what did.
"""

from typing import Any

Json = Any
Entity = dict[str, Any]
Instance = dict[str, Any]
Attributes = dict[str, list[Instance]]
