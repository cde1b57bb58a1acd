"""Throttling (clause 5.2.12): one notification per period, and at its end the newest suppressed states.

A throttled subscription has at most one notification pending. `throttles` holds its last one: {_id:
subscription, at: its time (µs, the server's), entry: the id of its entry, e: the id of its entity}.

A change that comes too early is suppressed: the transaction that commits the change stores a timer for the
subscription and the entity, with the newest state (`state`: the payload of the entry). When the period is
over, the process that claims one of these timers commits one entry with all suppressed states of the
subscription (`release`).
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

_SHORTEST = 1_000_000  # µs, at least, between two checks whether the last notification is still pending
_MOST = 500  # entities in one notification; the rest follows a period later
_LARGEST = 8_000_000  # bytes of BSON in one notification, unless one entity alone is larger
_AROUND = 1_000  # bytes of BSON for the update command around a timer


async def throttle(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, triggered: Throttled
) -> int | None:
    """Decides which throttled subscriptions the entries notify now; stores a timer for each of the others.

    Removes the others from the `subscriptions` of their entries. Returns when the first timer is due (µs);
    None if nothing was suppressed. The time of the last notification is read and written in the
    transaction. So two processes that would both notify conflict, and the second one sees the first one's
    time.
    """
    throttled = [(entry, due) for entry, due in triggered if due.throttling]
    ids = list({due.subscription for _, due in throttled})
    documents = await commands.find(tenant.throttles, {"_id": {"$in": ids}}, session)
    last = {document["_id"]: document for document in documents}
    busy = await _busy(session, tenant, timers, _over(throttled, last))
    fired, suppressed = _decide(throttled, last, busy)
    times = [{"q": {"_id": name}, "u": {"$set": values}, "upsert": True} for name, values in fired.items()]
    await commands.update(tenant.throttles, times, session)
    await commands.update(timers, [_timer(*state) for state in suppressed], session)
    return min((until for _, _, until in suppressed), default=None)


def _over(throttled: Throttled, last: dict[str, Document]) -> list[Document]:
    """The last notifications (documents of `throttles`) whose period is over for one of the entries."""
    return [
        last[subscription]
        for subscription in {
            due.subscription
            for entry, due in throttled
            if due.subscription in last and not _is_early(last[due.subscription], entry, due.throttling)
        }
    ]


async def _busy(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, last: list[Document]
) -> set[str]:
    """The subscriptions whose last notification is still pending, or that have suppressed states.

    Both come before a new notification. Otherwise the newest state might not be the last one delivered, and
    an entity that changes often could keep all others from being notified.
    """
    if not last:
        return set()
    busy = await _pending(session, tenant, last)
    ours = {"t": tenant.name, "s": {"$in": [document["_id"] for document in last]}}
    return busy | set(await timers.distinct("s", ours, session=session))


async def _pending(session: AsyncClientSession, tenant: Tenant, last: list[Document]) -> set[str]:
    """The subscriptions whose last notification is still pending, in a document or in the outbox."""
    ids = [document.get("entry") for document in last]
    held = {"_id": {"$in": [document.get("e") for document in last]}, "o.id": {"$in": ids}}
    documents = await commands.find(tenant.entities, held, session, projection={"o.id": 1, "o.due": 1})
    due = {entry["id"]: entry["due"] for document in documents for entry in document["o"]}
    apart = await commands.find(tenant.outbox, {"_id": {"$in": ids}}, session, projection={"due": 1})
    due |= {entry["_id"]: entry["due"] for entry in apart}
    return {document["_id"] for document in last if document["_id"] in due.get(document.get("entry"), ())}


def _decide(
    throttled: Throttled, last: dict[str, Document], busy: set[str]
) -> tuple[dict[str, Document], list[tuple[Entry, Triggered, int]]]:
    """Decides for each entry and subscription, in order: notified, or suppressed.

    Returns the notified subscriptions with their new documents of `throttles`, and the newest suppressed
    states as tuples (entry, triggered subscription, µs until when).
    """
    fired: dict[str, Document] = {}
    suppressed: dict[tuple[str, str], tuple[Entry, Triggered, int]] = {}
    for entry, due in throttled:
        name = due.subscription
        is_early = _is_early(last.get(name, {}), entry, due.throttling)
        if not is_early and name not in busy:
            last[name] = fired[name] = {"at": entry.at, "entry": entry.id, "e": entry.entity_id}
            suppressed.pop((name, entry.entity_id), None)
        else:
            entry.subscriptions.discard(name)
            until = last[name]["at"] + due.throttling if is_early else entry.at
            suppressed[name, entry.entity_id] = entry, due, until
    return fired, list(suppressed.values())


def _is_early(last: Document, entry: Entry, period: int) -> bool:
    """Whether the entry came before the end of the period (µs) after the last notification, if any."""
    return is_throttled(last.get("at"), entry.at, period)


def _timer(entry: Entry, due: Triggered, until: int) -> Document:
    """The update that stores a suppressed state in place of an older one; the time of its timer stays."""
    timer = {"t": entry.tenant, "s": due.subscription, "due": until, "at": until, "by": ""}
    wanted = {"_id": key(entry.tenant, due.subscription, entry.entity_id)}
    own = len(bson.encode(wanted | timer)) + _AROUND
    suppressed = fitting(replace(entry), {}, own)  # a copy: what is cut here is not cut for others
    return {"q": wanted, "u": {"$set": {"state": suppressed}, "$setOnInsert": timer}, "upsert": True}


def key(tenant: str, subscription_id: str, entity_id: str | None = None) -> str:
    """The id of a timer: of a periodic subscription, or of a suppressed state. URIs have no spaces."""
    return " ".join((tenant, subscription_id, *(() if entity_id is None else (entity_id,))))


def suppressed_of(tenant: str, subscription_id: str) -> Document:
    """The filter for the timers with the suppressed states of a subscription."""
    return {"t": tenant, "s": subscription_id, "state": {"$exists": True}}


async def release(
    session: AsyncClientSession, tenant: Tenant, timers: Collection, entry: Entry, period: int
) -> bool:
    """Fills the entry with the suppressed states of its one subscription, and adds it to the outbox.

    Returns whether it did. It does not if there are no states. If the period (µs) is not over, or the last
    notification is still pending, it postpones the timers instead. States for which the entry has no room
    wait for another period.
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
    payloads = await _first(session, timers, wanted)
    if not payloads:
        return False
    entry.suppressed = [state(payload) for payload in payloads.values()]
    entry.cut = next((payload["cut"] for payload in payloads.values() if "cut" in payload), "")
    await commands.delete(timers, list(payloads), session)
    await timers.update_many(wanted, _at(entry.at + period), session=session)
    times = {"at": entry.at, "entry": entry.id, "e": entry.entity_id}
    await tenant.throttles.update_one({"_id": subscription}, {"$set": times}, upsert=True, session=session)
    await tenant.outbox.insert_one(apart(entry), session=session)
    return True


def _at(moment: int) -> Document:
    return {"$set": {"due": moment, "at": moment, "by": ""}}


async def _first(session: AsyncClientSession, timers: Collection, wanted: Document) -> dict[str, Document]:
    """The payloads of the first suppressed states, by the ids of their timers: as many as one entry holds."""
    payloads: dict[str, Document] = {}
    size = 0
    async with timers.find(wanted, sort=[("state.at", 1)], limit=_MOST, session=session) as cursor:
        async for timer in cursor:
            payload = unzipped(timer["state"])
            size += len(bson.encode(payload))
            if size > _LARGEST and payloads:
                break
            payloads[timer["_id"]] = payload
    return payloads
