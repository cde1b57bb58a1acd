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


async def changed_since(
    log: Collection, epoch: int, mark: str, session: AsyncClientSession
) -> list[str] | None:
    """The ids of what changed after an epoch; None if the log does not continue it.

    Each change in the log has the mark of the epoch before it. So a process notices if a backup was restored
    and the same numbers are used again.
    """
    if epoch < 0:
        return None
    logged = await log.find({"_id": {"$gt": epoch}}, sort=[("_id", 1)], session=session).to_list()
    if not logged or (logged[0]["_id"], logged[0].get("before", "")) != (epoch + 1, mark):
        return None
    return [*{change["s"] for change in logged}]
