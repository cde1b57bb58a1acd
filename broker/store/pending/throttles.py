"""Throttling (clause 5.2.12): one notification per period, and at its end the newest suppressed states.

A throttled subscription has at most one notification pending: `throttles` holds {_id: subscription,
at: time (µs, the server's) of the last one, entry: the id of its entry, e: of the entity}. A change that
comes too early is suppressed: the transaction that commits the change keeps its newest state for each
subscription and entity as a timer, {…, state: what the entry would have told}. When the period is over,
whoever claims one of these timers commits one entry with all suppressed states of the subscription
(`release`).
"""

from dataclasses import replace
from typing import Any

import bson
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.core.delivery.entry import Entry
from broker.core.throttling import is_throttled
from broker.ports.changes import Triggered
from broker.store.pending.entries import apart, fitting, state, unzipped
from broker.store.wire import commands
from broker.store.wire.tenants import Collection, Tenant

Document = dict[str, Any]
Throttled = list[tuple[Entry, Triggered]]

_SHORTEST = 1_000_000  # µs between two looks for whether the last notification is delivered
_MOST = 500  # entities in one notification; what is left follows a period later
_LARGEST = 8_000_000  # bytes of BSON in one notification, unless one entity alone is larger
_AROUND = 1_000  # bytes of BSON around what a timer is made of


async def throttle(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, dues: Throttled
) -> int | None:
    """Leaves throttled subscriptions out of the entries that come too early, and keeps what that suppresses.

    When (µs) the first suppressed state is due; None if nothing was suppressed.
    The time of the last notification is read and written in the transaction, so two processes that would
    both notify conflict, and the second one finds the time of the first.
    """
    throttled = [(entry, due) for entry, due in dues if due.throttling]
    ids = list({due.subscription for _, due in throttled})
    found = await commands.find(tenant.throttles, {"_id": {"$in": ids}}, session)
    last = {one["_id"]: one for one in found}
    busy = await _busy(session, tenant, timers, _over(throttled, last))
    fired, suppressed = _decide(throttled, last, busy)
    times = [{"q": {"_id": one}, "u": {"$set": values}, "upsert": True} for one, values in fired.items()]
    await commands.update(tenant.throttles, times, session)
    await commands.update(timers, [_kept(*one) for one in suppressed], session)
    return min((until for _, _, until in suppressed), default=None)


def _over(throttled: Throttled, last: dict[str, Document]) -> list[Document]:
    """The last notifications whose period is over at one of the entries."""
    return [
        last[one]
        for one in {
            due.subscription
            for entry, due in throttled
            if due.subscription in last and not _is_early(last[due.subscription], entry, due.throttling)
        }
    ]


async def _busy(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, last: list[Document]
) -> set[str]:
    """The subscriptions whose last notification is still pending, or that have suppressed states.

    Those come first: else the newest state would not be the last one that the subscriber hears of, and
    an entity that changes often would keep all others from being notified.
    """
    if not last:
        return set()
    busy = await _pending(session, tenant, last)
    ours = {"t": tenant.name, "s": {"$in": [one["_id"] for one in last]}}
    return busy | set(await timers.distinct("s", ours, session=session))


async def _pending(session: AsyncClientSession, tenant: Tenant, last: list[Document]) -> set[str]:
    """The subscriptions whose last notification is still pending, in a document or in the outbox."""
    ids = [one.get("entry") for one in last]
    held = {"_id": {"$in": [one.get("e") for one in last]}, "o.id": {"$in": ids}}
    documents = await commands.find(tenant.entities, held, session, projection={"o.id": 1, "o.due": 1})
    due = {entry["id"]: entry["due"] for document in documents for entry in document["o"]}
    found = await commands.find(tenant.outbox, {"_id": {"$in": ids}}, session, projection={"due": 1})
    due |= {entry["_id"]: entry["due"] for entry in found}
    return {one["_id"] for one in last if one["_id"] in due.get(one.get("entry"), ())}


def _decide(
    throttled: Throttled, last: dict[str, Document], busy: set[str]
) -> tuple[dict[str, Document], list[tuple[Entry, Triggered, int]]]:
    """The subscriptions that are notified, with the new times; what is suppressed, and until when."""
    fired: dict[str, Document] = {}
    suppressed: dict[tuple[str, str], tuple[Entry, Triggered, int]] = {}
    for entry, due in throttled:
        one = due.subscription
        is_early = _is_early(last.get(one, {}), entry, due.throttling)
        if not is_early and one not in busy:
            last[one] = fired[one] = {"at": entry.at, "entry": entry.id, "e": entry.entity_id}
            suppressed.pop((one, entry.entity_id), None)
        else:
            entry.subscriptions.discard(one)
            until = last[one]["at"] + due.throttling if is_early else entry.at
            suppressed[one, entry.entity_id] = entry, due, until
    return fired, list(suppressed.values())


def _is_early(last: Document, entry: Entry, period: int) -> bool:
    """Whether the entry became due before the period after the last notification, if any, was over."""
    return is_throttled(last.get("at"), entry.at, period)


def _kept(entry: Entry, due: Triggered, until: int) -> Document:
    """The update that keeps a suppressed state in place of an older one; when it is due stays."""
    timer = {"t": entry.tenant, "s": due.subscription, "due": until, "at": until, "by": ""}
    wanted = {"_id": key(entry.tenant, due.subscription, entry.entity_id)}
    own = len(bson.encode(wanted | timer)) + _AROUND
    told = fitting(replace(entry), {}, own)  # what is cut here is not cut for the others that it is due to
    return {"q": wanted, "u": {"$set": {"state": told}, "$setOnInsert": timer}, "upsert": True}


def key(tenant: str, subscription_id: str, entity_id: str | None = None) -> str:
    """The id of a timer: of a subscription, or of a suppressed state. URIs have no spaces."""
    return " ".join((tenant, subscription_id, *(() if entity_id is None else (entity_id,))))


def suppressed_of(tenant: str, subscription_id: str) -> Document:
    """A filter for the suppressed states of a subscription."""
    return {"t": tenant, "s": subscription_id, "state": {"$exists": True}}


async def release(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, entry: Entry, period: int
) -> bool:
    """Commits the entry with the suppressed states of the subscription that it is due to.

    False if there are none. False, too, if the period is not over or the last notification is still pending:
    the timers are then put off.
    """
    (subscription,) = entry.subscriptions
    wanted = suppressed_of(tenant.name, subscription)
    last = await tenant.throttles.find_one({"_id": subscription}, session=session) or {}
    following = last["at"] + period if _is_early(last, entry, period) else entry.at
    if last and await _pending(session, tenant, [last]):
        following = entry.at + max(period, _SHORTEST)
    if following > entry.at:
        await timers.update_many(wanted, _at(following), session=session)
        return False
    found = await _first(session, timers, wanted)
    if not found:
        return False
    entry.suppressed = [state(one) for one in found.values()]
    entry.cut = next((one["cut"] for one in found.values() if "cut" in one), "")
    await commands.delete(timers, list(found), session)
    await timers.update_many(wanted, _at(entry.at + period), session=session)
    times = {"at": entry.at, "entry": entry.id, "e": entry.entity_id}
    await tenant.throttles.update_one({"_id": subscription}, {"$set": times}, upsert=True, session=session)
    await tenant.outbox.insert_one(apart(entry), session=session)
    return True


def _at(moment: int) -> Document:
    return {"$set": {"due": moment, "at": moment, "by": ""}}


async def _first(session: AsyncClientSession, timers: Collection, wanted: Document) -> dict[str, Document]:
    """What the first suppressed states tell, by the ids of their timers: as many as fit in one entry."""
    found: dict[str, Document] = {}
    size = 0
    async with timers.find(wanted, sort=[("state.at", 1)], limit=_MOST, session=session) as cursor:
        async for one in cursor:
            told = unzipped(one["state"])
            size += len(bson.encode(told))
            if size > _LARGEST and found:
                break
            found[one["_id"]] = told
    return found
