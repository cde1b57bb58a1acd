"""Discovery of the entity types and attributes that this broker holds (clauses 5.7.5 to 5.7.11)."""

from collections import Counter
from uuid import uuid4

from broker.core import discovery
from broker.core.discovery import Doc, Shape
from broker.core.errors import ResourceNotFound
from broker.core.jsonld.context import Context
from broker.ports.broker import Broker


async def retrieve_available_entity_types(broker: Broker, tenant: str, context: Context) -> Doc:
    """5.7.5 Retrieve Available Entity Types."""
    shapes = await broker.discovery.shapes(tenant)
    return discovery.type_list(shapes, context, f"urn:ngsi-ld:EntityTypeList:{uuid4()}")


async def retrieve_details_of_available_entity_types(
    broker: Broker, tenant: str, context: Context
) -> list[Doc]:
    """5.7.6 Retrieve Details of Available Entity Types."""
    return discovery.types_in_detail(await broker.discovery.shapes(tenant), context)


async def retrieve_available_entity_type_information(
    broker: Broker, tenant: str, iri: str, context: Context
) -> Doc:
    """5.7.7 Retrieve Available Entity Type Information; ResourceNotFound if no entity is of this type."""
    shapes = [shape for shape in await broker.discovery.shapes(tenant) if iri in shape.types]
    if not shapes:
        raise ResourceNotFound(f"there is no entity of type {iri}")
    count = await broker.discovery.count(tenant, [shape.id for shape in shapes])
    return discovery.type_information(iri, shapes, count, context)


async def retrieve_available_attributes(broker: Broker, tenant: str, context: Context) -> Doc:
    """5.7.8 Retrieve Available Attributes."""
    shapes = await broker.discovery.shapes(tenant)
    return discovery.attribute_list(shapes, context, f"urn:ngsi-ld:AttributeList:{uuid4()}")


async def retrieve_details_of_available_attributes(
    broker: Broker, tenant: str, context: Context
) -> list[Doc]:
    """5.7.9 Retrieve Details of Available Attributes."""
    return discovery.attributes_in_detail(await broker.discovery.shapes(tenant), context)


async def retrieve_available_attribute_information(
    broker: Broker, tenant: str, iri: str, context: Context
) -> Doc:
    """5.7.10 Retrieve Available Attribute Information; ResourceNotFound if no entity has this attribute."""
    shapes = [shape for shape in await broker.discovery.shapes(tenant) if iri in shape.attrs]
    if not shapes:
        raise ResourceNotFound(f"there is no entity with the attribute {iri}")
    count = await _instances(broker, tenant, iri, shapes)
    return discovery.attribute_information(iri, shapes, count, context)


async def _instances(broker: Broker, tenant: str, iri: str, shapes: list[Shape]) -> int:
    """The number of stored instances of an attribute. Entities of one shape have equally many of them."""
    total = 0
    for number in Counter(len(shape.attrs[iri]) for shape in shapes):
        alike = [shape.id for shape in shapes if len(shape.attrs[iri]) == number]
        total += number * await broker.discovery.count(tenant, alike)
    return total
