"""What there is: entity types and attributes, and how they are told of (clauses 4.5.10 to 4.5.15)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from broker.core import Json
from broker.core.jsonld.context import Context

Doc = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Shape:
    """What some entities have in common: their types, and of each attribute the kinds of its instances.

    `id` stands for it in the storage. All names are IRIs.
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
    found: dict[str, set[str]] = {}
    for shape in shapes:
        for iri in shape.types:
            found.setdefault(iri, set()).update(shape.attrs)
    return [
        {
            "id": iri,
            "type": "EntityType",
            "typeName": context.compact(iri),
            "attributeNames": _names(attrs, context),
        }
        for iri, attrs in sorted(found.items())
    ]


def type_information(iri: str, shapes: Sequence[Shape], count: int, context: Context) -> Doc:
    """4.5.12 Entity Type Information Representation, of the shapes that are of this type."""
    kinds: dict[str, set[str]] = {}
    for shape in shapes:
        for attr, its in shape.attrs.items():
            kinds.setdefault(attr, set()).update(its)
    return {
        "id": iri,
        "type": "EntityTypeInfo",
        "typeName": context.compact(iri),
        "entityCount": count,
        "attributeDetails": [
            {**_attribute(attr, context), "attributeTypes": sorted(its)}
            for attr, its in sorted(kinds.items())
        ],
    }


def attribute_list(shapes: Iterable[Shape], context: Context, list_id: str) -> Doc:
    """4.5.13 Attribute List Representation."""
    attrs = {iri for shape in shapes for iri in shape.attrs}
    return {"id": list_id, "type": "AttributeList", "attributeList": _names(attrs, context)}


def attributes_in_detail(shapes: Iterable[Shape], context: Context) -> list[Doc]:
    """4.5.14 Detailed Attribute List Representation."""
    found: dict[str, set[str]] = {}
    for shape in shapes:
        for iri in shape.attrs:
            found.setdefault(iri, set()).update(shape.types)
    return [
        {**_attribute(iri, context), "typeNames": _names(types, context)}
        for iri, types in sorted(found.items())
    ]


def attribute_information(iri: str, shapes: Sequence[Shape], count: int, context: Context) -> Doc:
    """4.5.15 Attribute Information Representation, of the shapes that have this attribute."""
    return {
        **_attribute(iri, context),
        "attributeCount": count,
        "attributeTypes": sorted({kind for shape in shapes for kind in shape.attrs[iri]}),
        "typeNames": _names({one for shape in shapes for one in shape.types}, context),
    }


def _attribute(iri: str, context: Context) -> Doc:
    return {"id": iri, "type": "Attribute", "attributeName": context.compact(iri)}


def _names(iris: Iterable[str], context: Context) -> list[str]:
    return sorted(map(context.compact, iris))
