"""Batches that this broker carries out together with context sources (5.6.7 to 5.6.10, 5.6.20)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from broker.core import Json
from broker.core.entity.update import Rule, UpdateResult
from broker.core.errors import AlreadyExists, NgsiLdError
from broker.core.federation.batches import Group, grouped, item_replies, second_try
from broker.core.federation.distribution import WritePlan, plan_write
from broker.core.federation.origin import Origin
from broker.core.federation.settle import settle_item
from broker.core.federation.step import Reply, Step
from broker.core.federation.write import Write
from broker.core.jsonld.context import Context
from broker.operations.distributed import matches_of_write, timed, to_its_end
from broker.ports.broker import Broker

Here = Callable[[Sequence[tuple[str, Rule]]], Awaitable[Sequence[Any]]]  # the result or exception of each
ReadRule = Callable[[Json, Context], Rule]

_AT_ONCE = 100  # items that are looked at before other requests get a turn, and requests sent at once


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an item: whether a part was done, whether one created the entity, and the errors.

    `errors`: (error, registration) of each part that failed; None for the part here.
    """

    is_done: bool
    is_created: bool
    errors: tuple[tuple[Exception, str | None], ...] = ()


_DONE, _CREATED = Outcome(is_done=True, is_created=False), Outcome(is_done=True, is_created=True)


def outcome_here(answer: Any) -> Outcome:
    """The outcome of an item that this broker applied alone; `answer`: that of its rule, or an exception."""
    answer = _refused(answer)
    if isinstance(answer, Exception):
        return Outcome(is_done=False, is_created=False, errors=((answer, None),))
    return _DONE if answer is False else _CREATED


def _refused(answer: Any) -> Any:
    """The answer; the error of an item of which an attribute was there, though noOverwrite was asked for."""
    if not isinstance(answer, UpdateResult) or not answer.not_updated:
        return answer
    names = ", ".join(name for name, _ in answer.not_updated)
    return AlreadyExists(f"{names}: there already, and noOverwrite was asked for")


@dataclass(slots=True)
class Task:
    """An item: its write, the rule of its whole document, its plan, and what became of the parts of that."""

    write: Write
    rule: Rule
    plan: WritePlan | None = None
    here: Any = None
    replies: list[Reply] = field(default_factory=list)

    def outcome(self) -> Outcome:
        """What became of all parts."""
        here = _refused(self.here)
        is_error = isinstance(here, NgsiLdError)
        if self.plan is None or (isinstance(here, Exception) and not is_error):
            return outcome_here(here)
        settled = settle_item(self.plan, here if is_error else None, self.replies)
        errors = tuple((failure.error, failure.registration) for failure in settled.failures)
        is_created = (self.plan.is_here and here is not False) or any(
            one.status == 201 for one in self.replies
        )
        return Outcome(settled.is_done, is_created, errors)


async def carried_out(
    broker: Broker, origin: Origin, tasks: Sequence[Task], read: ReadRule, here: Here
) -> None:
    """Carries out the items, here and at the sources that they concern; what became of each is in it.

    `read`: the rule of what is left of a document.
    """
    await _plan(broker, origin, tasks)
    await to_its_end(_everywhere(broker, timed(broker, origin), tasks, read, here))


async def _plan(broker: Broker, origin: Origin, tasks: Sequence[Task]) -> None:
    """Finds the sources of each item."""
    for start in range(0, len(tasks), _AT_ONCE):
        chunk = tasks[start : start + _AT_ONCE]
        found = await asyncio.gather(*(matches_of_write(broker, origin, task.write) for task in chunk))
        for task, matches in zip(chunk, found, strict=True):
            if matches:
                task.plan = plan_write(matches, task.write)
        await asyncio.sleep(0)


async def _everywhere(
    broker: Broker, origin: Origin, tasks: Sequence[Task], read: ReadRule, here: Here
) -> None:
    """The part here and those at sources, side by side; then what an upsert tries next."""
    steps = [step for task in tasks if task.plan for step in task.plan.steps]
    _, replies = await asyncio.gather(_apply(tasks, read, here), _ask(broker, origin, steps))
    ladder = tasks[0].write.ladder if tasks else ()
    again = {number: step for number, reply in enumerate(replies) if (step := second_try(reply, ladder))}
    came = await _ask(broker, origin, [*again.values()])
    for number, reply in zip(again, came, strict=True):
        replies[number] = replace(reply, step=replies[number].step)
    _give(tasks, replies)


def _give(tasks: Sequence[Task], replies: Sequence[Reply]) -> None:
    """Gives each item the replies to its steps."""
    reply_of = {id(reply.step): reply for reply in replies}
    for task in tasks:
        task.replies = [reply_of[id(step)] for step in (task.plan.steps if task.plan else ())]


async def _ask(broker: Broker, origin: Origin, steps: Sequence[Step]) -> list[Reply]:
    """The reply to each step. Requests to sources go out a hundred at a time."""
    groups = grouped(steps)
    replies: list[Reply] = []
    for start in range(0, len(groups), _AT_ONCE):
        chunk: list[Group] = groups[start : start + _AT_ONCE]
        came = await broker.sources.ask(origin, [group.step for group in chunk])
        for group, reply in zip(chunk, came, strict=True):
            replies += item_replies(group, reply)
    return replies


async def _apply(tasks: Sequence[Task], read: ReadRule, here: Here) -> None:
    """Applies what is for this broker, in order."""
    mine = [task for task in tasks if task.plan is None or task.plan.is_here]
    changes = [(task.write.entity_id, _rule(task, read)) for task in mine]
    for task, answer in zip(mine, await here(changes), strict=True):
        task.here = answer


def _rule(task: Task, read: ReadRule) -> Rule:
    if task.plan is None or task.plan.is_undivided:
        return task.rule
    return read(task.plan.left, task.write.context)
