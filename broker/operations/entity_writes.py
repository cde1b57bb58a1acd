"""Writes to entities (clauses 5.6.1 to 5.6.6, 5.6.17 to 5.6.21), here and at the sources that they concern.

Each raises ResourceNotFound if there is no such entity, and NonexistentTenant if nothing was ever written for
the tenant, but for `create_entity`; BadRequestData if the document is wrong.
"""

from dataclasses import replace

from broker.core import Json
from broker.core.entity import merge, parse, update
from broker.core.entity.sent import Form
from broker.core.entity.update import Rule, UpdateResult
from broker.core.entity.values import ParseOptions
from broker.core.errors import BadRequestData, ResourceNotFound
from broker.core.federation.origin import Origin
from broker.core.federation.settle import Settled
from broker.core.federation.write import Write
from broker.core.jsonld.context import Context
from broker.core.lang import types
from broker.core.purge import Purge
from broker.core.temporal import SCOPE
from broker.core.temporal.revision import Burial
from broker.operations.distributed import RuleOf, purged, written
from broker.ports.broker import Broker

_PAGE = 1000  # entities that a purge reads and changes at once


async def create_entity(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.1 Create Entity. AlreadyExists if an entity has this id."""

    async def commit(rule: Rule) -> None:
        await broker.entities.change(origin.tenant, write.entity_id, rule)

    return await written(
        broker, origin, write, lambda doc: update.create(parse.entity(doc, write.context)), commit
    )


async def replace_entity(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.18 Replace Entity."""
    return await _changed(broker, origin, write, lambda doc: update.replace(parse.entity(doc, write.context)))


async def merge_entity(
    broker: Broker, origin: Origin, write: Write, form: Form, observed_at: str | None
) -> Settled:
    """5.6.17 Merge Entity. `observed_at`: the instant that merged attributes get."""

    def rule_of(doc: Json) -> Rule:
        return merge.merge(write.entity_id, merge.patch(doc, form), observed_at)

    return await _changed(broker, origin, write, rule_of)


async def delete_entity(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.6 Delete Entity."""
    return await _changed(broker, origin, write, lambda _: update.delete(write.entity_id))


async def purge_entities(broker: Broker, origin: Origin, purge: Purge, context: Context) -> Settled:
    """5.6.21 Purge Entities, here and at the sources that the purge concerns."""

    async def here() -> UpdateResult | None:
        page = replace(purge.query, limit=_PAGE, offset=0)
        while True:
            found = await broker.entities.find(origin.tenant, page)
            await _purge(broker, origin.tenant, purge, [entity["id"] for entity in found.items])
            if not found.more:
                return None
            page = replace(page, after=found.after)

    return await purged(broker, origin, purge, context, here)


async def _purge(broker: Broker, tenant: str, purge: Purge, ids: list[str]) -> None:
    """Purges entities; those that are gone by now are no error."""
    rules = [
        (id_, update.delete(id_) if purge.is_whole else update.purge_attrs(id_, purge.deletes)) for id_ in ids
    ]
    for outcome in await broker.entities.change_many(tenant, rules):
        if isinstance(outcome, Exception) and not isinstance(outcome, ResourceNotFound):
            raise outcome


async def append_attrs(broker: Broker, origin: Origin, write: Write, *, overwrite: bool) -> Settled:
    """5.6.3 Append Attributes."""

    def rule_of(doc: Json) -> Rule:
        fragment = parse.fragment(doc, ParseOptions(write.context))
        return update.append(write.entity_id, fragment, overwrite=overwrite)

    return await _changed(broker, origin, write, rule_of)


async def update_attrs(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.2 Update Attributes."""

    def rule_of(doc: Json) -> Rule:
        return update.update_attrs(
            write.entity_id, parse.fragment(doc, ParseOptions(write.context, nulls=True))
        )

    return await _changed(broker, origin, write, rule_of)


async def partial_update_attr(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.4 Partial Attribute update. BadRequestData for the scope."""
    iri = _attr(write)

    def rule_of(doc: Json) -> Rule:
        fragment = parse.partial(write.context.compact(iri), doc, ParseOptions(write.context, nulls=True))
        return update.partial_update(write.entity_id, iri, fragment)

    return await _changed(broker, origin, write, rule_of)


async def replace_attr(broker: Broker, origin: Origin, write: Write) -> Settled:
    """5.6.19 Replace Attribute. BadRequestData for the scope."""
    iri = _attr(write)

    def rule_of(doc: Json) -> Rule:
        instance = parse.instance(write.context.compact(iri), doc, ParseOptions(write.context))
        return update.replace_attr(write.entity_id, iri, instance)

    return await _changed(broker, origin, write, rule_of)


async def delete_attr(broker: Broker, origin: Origin, write: Write, burial: Burial) -> Settled:
    """5.6.5 Delete Attribute, or the scope.

    If the entity has a history but no state any more, and no types are asked for, the deletion is recorded in
    the history. ResourceNotFound if there is nothing to delete.
    """

    def rule_of(_: Json) -> Rule:
        if burial.iri == SCOPE:
            return update.delete_scope(write.entity_id)
        return update.delete_attr(write.entity_id, burial.iri, burial.dataset, delete_all=burial.delete_all)

    async def commit(rule: Rule) -> UpdateResult | None:
        try:
            return await _change(broker, origin, write, rule)
        except ResourceNotFound:
            if write.gate is not None or not await broker.entities.change(
                origin.tenant, write.entity_id, burial
            ):
                raise
        return None

    return await written(broker, origin, write, rule_of, commit)


def _attr(write: Write) -> str:
    """The attribute in the path; BadRequestData if it is the scope, which is no attribute there."""
    assert write.attr is not None
    if write.attr == "scope":
        raise BadRequestData("scope: cannot be written as an attribute")
    return write.attr


async def _changed(broker: Broker, origin: Origin, write: Write, rule_of: RuleOf) -> Settled:
    async def commit(rule: Rule) -> UpdateResult | None:
        return await _change(broker, origin, write, rule)

    return await written(broker, origin, write, rule_of, commit)


async def _change(broker: Broker, origin: Origin, write: Write, rule: Rule) -> UpdateResult | None:
    """Applies a rule. NonexistentTenant, or ResourceNotFound if there is no entity of the types asked for."""
    await broker.entities.known(origin.tenant)
    if (gate := write.gate) is not None:
        rule = update.only_if(lambda entity: types.matches(gate, entity["type"]), rule)
    result: UpdateResult | None = await broker.entities.change(origin.tenant, write.entity_id, rule)
    return result
