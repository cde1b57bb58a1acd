"""Epochs: a number that rises with each change of one kind of definition, in the transaction of the change.

Who knows the number and its mark knows whether it has heard of every change; a log names what each changed.
"""

import secrets
from dataclasses import dataclass

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.store.wire.tenants import Collection, epoch_of

LOGGED = 10_000  # changes that a log holds; a process that is further behind reads everything again


@dataclass(frozen=True, slots=True)
class Step:
    """One change: the number of the new epoch, its mark, and the mark of the epoch before it."""

    number: int
    mark: str
    before: str


async def advance(
    entities: Collection, epoch: str, log: Collection, changed: str, session: AsyncClientSession
) -> Step:
    """Raises the epoch of this id, and logs which definition was changed (its id)."""
    mark = secrets.token_hex(8)
    number, before = epoch_of(
        await entities.find_one_and_update(
            {"_id": epoch}, {"$inc": {"n": 1}, "$set": {"mark": mark}}, session=session
        )
    )
    step = Step(number + 1, mark, before)
    await log.insert_one({"_id": step.number, "s": changed, "before": before}, session=session)
    await log.delete_one({"_id": step.number - LOGGED}, session=session)
    return step
