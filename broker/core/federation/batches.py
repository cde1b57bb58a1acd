"""Batches over context sources: items for one source go together, and its reply is read for each of them.

Clauses 5.6.7 to 5.6.10 and 5.6.20.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from broker.core import Json
from broker.core.federation.step import Reply, Step

_SUFFIX = "Batch"


@dataclass(slots=True)
class Group:
    """One request, and the steps of the items that it is for."""

    steps: list[Step] = field(default_factory=list)

    @property
    def step(self) -> Step:
        """The step of the request: the documents of all items, or the one step."""
        first = self.steps[0]
        if not first.operation.endswith(_SUFFIX):
            keeps = first.operation == "appendAttrs"  # the only one that knows noOverwrite
            return first if keeps else replace(first, params={})
        docs = [step.entity_id if step.doc is None else step.doc for step in self.steps]
        return replace(first, entity_id=None, doc=docs)


def grouped(steps: Iterable[Step]) -> list[Group]:
    """The requests for the steps of many items: one for each source that takes batches, and @context."""
    groups: dict[object, Group] = {}
    for number, step in enumerate(steps):
        is_batch = step.operation.endswith(_SUFFIX)
        key = (step.match.source.id, id(step.context)) if is_batch else number
        groups.setdefault(key, Group()).steps.append(step)
    return list(groups.values())


def item_replies(group: Group, reply: Reply) -> Iterator[Reply]:
    """The reply to each item of a request, with the status 201 for one that was created."""
    if not group.steps[0].operation.endswith(_SUFFIX) or reply.fault is not None:
        yield from (replace(reply, step=step) for step in group.steps)
        return
    is_mixed = reply.status == 207 and isinstance(reply.doc, dict)
    read = _of_mixed if is_mixed else _of_all
    for step in group.steps:
        yield read(reply, step)


def _of_all(reply: Reply, step: Step) -> Reply:
    """A reply to all items; 201 lists those that were created, or has no body, if all were."""
    is_known = reply.status == 201 and isinstance(reply.doc, list)
    status = 204 if is_known and step.entity_id not in reply.doc else reply.status
    return replace(reply, step=step, status=status)


def _of_mixed(reply: Reply, step: Step) -> Reply:
    """A BatchOperationResult (5.2.16). An item of which it says nothing was not done for sure."""
    errors = {item.get("entityId"): item.get("error") for item in _objects(reply.doc.get("errors"))}
    if step.entity_id in errors:
        error = errors[step.entity_id]
        status = error.get("status") if isinstance(error, dict) else None
        return replace(reply, step=step, status=status if isinstance(status, int) else 502, doc=error)
    success = reply.doc.get("success")
    is_done = isinstance(success, list) and step.entity_id in success
    return replace(reply, step=step, status=204 if is_done else 207, doc=None)


def _objects(items: Json) -> list[Mapping[str, Json]]:
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def second_try(reply: Reply, ladder: tuple[str, ...]) -> Step | None:
    """What an upsert asks next of a source that cannot create an entity since it is there; None: nothing."""
    step = reply.step
    if step.operation != "createEntity" or reply.status != 409:
        return None
    operation = step.match.first_of(ladder[ladder.index("createEntity") + 1 :])
    return None if operation is None else replace(step, operation=operation)
