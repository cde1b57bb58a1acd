"""Discovery: lists and details of the existing entity types and attributes (clauses 4.5.10 to 4.5.15)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broker.core import Json
from broker.core.jsonld.context import Context

Doc = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the entities of one shape have in common: types, and by attribute the kinds of its instances.

    `id`: the hash by which the store knows the shape. All names are IRIs.
    """

    id: int
    types: tuple[str, ...]
    attrs: dict[str, tuple[str, ...]]


def type_list(shapes: Iterable[Shape], context: Context, list_id: str) -> Doc:
    """4.5.10 Entity Type List Representation."""
    names = sorted({context.compact(iri) for shape in shapes for iri in shape.types})
    return {"id": list_id, "type": "EntityTypeList", "typeList": names}


def types_in_detail(shapes: Iterable[Shape], context: Context) -> list[Doc]:
    """4.5.11 Detailed Entity Type List Representation."""
    attrs_of_type: dict[str, set[str]] = {}
    for shape in shapes:
        for iri in shape.types:
            attrs_of_type.setdefault(iri, set()).update(shape.attrs)
    return [
        {
            "id": iri,
            "type": "EntityType",
            "typeName": context.compact(iri),
            "attributeNames": _names(attrs, context),
        }
        for iri, attrs in sorted(attrs_of_type.items())
    ]


def type_information(iri: str, shapes: Sequence[Shape], count: int, context: Context) -> Doc:
    """4.5.12 Entity Type Information Representation. `shapes`: those with this type; `count`: of entities."""
    kinds: dict[str, set[str]] = {}
    for shape in shapes:
        for attr, attr_kinds in shape.attrs.items():
            kinds.setdefault(attr, set()).update(attr_kinds)
    return {
        "id": iri,
        "type": "EntityTypeInfo",
        "typeName": context.compact(iri),
        "entityCount": count,
        "attributeDetails": [
            {**_attribute(attr, context), "attributeTypes": sorted(attr_kinds)}
            for attr, attr_kinds in sorted(kinds.items())
        ],
    }


def attribute_list(shapes: Iterable[Shape], context: Context, list_id: str) -> Doc:
    """4.5.13 Attribute List Representation."""
    attrs = {iri for shape in shapes for iri in shape.attrs}
    return {"id": list_id, "type": "AttributeList", "attributeList": _names(attrs, context)}


def attributes_in_detail(shapes: Iterable[Shape], context: Context) -> list[Doc]:
    """4.5.14 Detailed Attribute List Representation."""
    types_of_attr: dict[str, set[str]] = {}
    for shape in shapes:
        for iri in shape.attrs:
            types_of_attr.setdefault(iri, set()).update(shape.types)
    return [
        {**_attribute(iri, context), "typeNames": _names(types, context)}
        for iri, types in sorted(types_of_attr.items())
    ]


def attribute_information(iri: str, shapes: Sequence[Shape], count: int, context: Context) -> Doc:
    """4.5.15 Attribute Information Representation. `shapes`: those with this attribute."""
    return {
        **_attribute(iri, context),
        "attributeCount": count,
        "attributeTypes": sorted({kind for shape in shapes for kind in shape.attrs[iri]}),
        "typeNames": _names({name for shape in shapes for name in shape.types}, context),
    }


def _attribute(iri: str, context: Context) -> Doc:
    return {"id": iri, "type": "Attribute", "attributeName": context.compact(iri)}


def _names(iris: Iterable[str], context: Context) -> list[str]:
    return sorted(map(context.compact, iris))
