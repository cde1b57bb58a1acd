"""The rules of NGSI-LD, pure: no I/O, no clock, no randomness. ETSI GS CIM 009 V1.9.1.

Inside the broker an entity is a plain dict of this form, in every package below `api`:

    Entity    {"id": uri, "type": [iri, …], "scope": [str, …]?, "createdAt": instant,
               "modifiedAt": instant, "attrs": {iri: [Instance, …]}}
    Instance  {"type": "Property" | "Relationship" | …, <value member>: JSON, "datasetId": uri?,
               "observedAt": instant?, "unitCode": str?, "createdAt": instant?,
               "modifiedAt": instant?, "attrs": {iri: [Instance, …]}?}

The kind of attribute names the `<value member>` (`entity.kinds`). Names are expanded IRIs. An attribute is
a list of its instances: one for each datasetId; the default instance has none. Instants are ISO 8601 text in
UTC without the final Z, so that they sort as text (`instant`).

An instance without createdAt was created with its entity; one without modifiedAt has not been modified since.
This saves space, because most instances are like that (`entity.instances.created_at` fills the times in).
Values stay as the client sent them. Nobody changes an entity in place: a rule returns a new dict that shares
the unchanged objects, so a comparison by identity (`is`) shows what changed.
"""

from typing import Any

Json = Any
Entity = dict[str, Any]
Instance = dict[str, Any]
Attributes = dict[str, list[Instance]]
