"""The outcome of a distributed write: what became of each part, as one answer (5.6.1.4 ff, 6.3.17)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from broker.core import Json
from broker.core.entity.update import UpdateResult
from broker.core.errors import (
    AlreadyExists,
    BadGateway,
    Conflict,
    GatewayTimeout,
    LoopDetected,
    NgsiLdError,
    ResourceNotFound,
)
from broker.core.federation.distribution import Part, WritePlan
from broker.core.federation.step import Fault, Reply

_LONGEST = 200  # characters of a reason that are passed on
_SLOW = (Fault.TIMEOUT, Fault.COOLING)


@dataclass(frozen=True, slots=True)
class Failure:
    """A part of a write that failed. `attrs`: as of `Part`. `registration`: None for the part here."""

    error: NgsiLdError
    attrs: tuple[str, ...] = ()
    registration: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of a write: the attributes (IRIs) that were written, and the parts that failed.

    `is_done`: whether at least one part was done.
    """

    updated: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    is_done: bool = True


_DONE = Settled()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one part."""

    is_proxied: bool
    settled: Settled


def settle(plan: WritePlan, here: UpdateResult | NgsiLdError | None, replies: Sequence[Reply]) -> Settled:
    """The outcome of all parts. `here`: that of the part applied here, if the plan has one.

    Raises the error of the only part, or of all parts if that is the same type and all are proxied.
    """
    outcomes = _outcomes(plan, here, replies)
    settled = _joined(outcomes)
    if settled.failures and not settled.is_done:
        _raise_alike(outcomes, settled.failures)
    return settled


def settle_item(
    plan: WritePlan, here: UpdateResult | NgsiLdError | None, replies: Sequence[Reply]
) -> Settled:
    """The outcome of all parts of an item of a batch, which lists all errors."""
    return _joined(_outcomes(plan, here, replies))


def _joined(outcomes: Sequence[_Outcome]) -> Settled:
    failures = tuple(failure for one in outcomes for failure in one.settled.failures)
    failed = {name for failure in failures for name in failure.attrs}
    names = dict.fromkeys(name for one in outcomes for name in one.settled.updated if name not in failed)
    return Settled(tuple(names), failures, any(one.settled.is_done for one in outcomes))


def _outcomes(
    plan: WritePlan, here: UpdateResult | NgsiLdError | None, replies: Sequence[Reply]
) -> list[_Outcome]:
    """What became of each part. That a proxied entity is not here is no error."""
    outcomes = [*_elsewhere(plan, replies)]
    if plan.is_here and not (isinstance(here, ResourceNotFound) and plan.has_proxied):
        outcomes.append(_Outcome(is_proxied=False, settled=_here(plan, here)))
    return outcomes


def _raise_alike(outcomes: Sequence[_Outcome], failures: Sequence[Failure]) -> None:
    """Raises the error if all that failed can be said by one."""
    types = {failure.error.type for failure in failures}
    is_one = len(outcomes) == 1 or (len(types) == 1 and all(outcome.is_proxied for outcome in outcomes))
    if is_one:
        raise failures[0].error


def _here(plan: WritePlan, here: UpdateResult | NgsiLdError | None) -> Settled:
    """What became of the part that was applied here."""
    if isinstance(here, NgsiLdError):
        return Settled(failures=(Failure(here, plan.attrs),), is_done=False)
    return Settled(plan.attrs) if here is None else of_update(here)


def of_update(result: UpdateResult | None) -> Settled:
    """The outcome of a write that was applied here alone; None if it has no result but that it was done."""
    if result is None:
        return _DONE
    failures = tuple(Failure(Conflict(reason), (name,)) for name, reason in result.not_updated)
    return Settled(tuple(result.updated), failures)


def _elsewhere(plan: WritePlan, replies: Sequence[Reply]) -> Iterator[_Outcome]:
    """What became of the parts of sources; none for an inclusive source that has the write already (508)."""
    reply_of = {id(reply.step): reply for reply in replies}
    for part in plan.parts:
        if part.step is None:
            error = Conflict(f"registration {part.match.source.id} does not offer the operation")
            yield _Outcome(part.is_proxied, _failed(part, error))
            continue
        reply = reply_of[id(part.step)]
        if reply.status == 508 and not part.is_proxied:
            continue
        yield _Outcome(part.is_proxied, _of_reply(part, reply))


def _of_reply(part: Part, reply: Reply) -> Settled:
    if reply.status == 207:
        return _partly(part, reply)
    if reply.status is not None and 200 <= reply.status < 300:
        return Settled(part.attrs)
    return _failed(part, error_of(reply))


def _failed(part: Part, error: NgsiLdError) -> Settled:
    return Settled(failures=(Failure(error, part.attrs, part.match.source.id),), is_done=False)


def _partly(part: Part, reply: Reply) -> Settled:
    """207: what the source says of it; without a body, nothing of it was done for sure."""
    reasons = dict(_not_updated(reply))
    failed = tuple(name for name in reasons if name in part.attrs) or part.attrs
    registration = part.match.source.id
    default = f"the source of registration {registration} did it only in part"
    failures = tuple(
        Failure(BadGateway(reasons.get(name) or default), (name,), registration) for name in failed
    )
    done = tuple(name for name in part.attrs if name not in failed)
    return Settled(done, failures or (Failure(BadGateway(default), (), registration),))


def _not_updated(reply: Reply) -> Iterator[tuple[str, str]]:
    """(IRI of the attribute, reason) of each item of `notUpdated` in the body of a reply."""
    items = reply.doc.get("notUpdated") if isinstance(reply.doc, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get("attributeName"), str):
            reason = item.get("reason")
            yield (
                reply.step.context.expand(item["attributeName"]),
                _printable(reason) if isinstance(reason, str) else "",
            )


def _printable(text: str) -> str:
    """What a source says, cut to what fits in a sentence."""
    return "".join(sign for sign in text[:_LONGEST] if sign.isprintable())


_Error = Callable[[str], NgsiLdError]
_BY_STATUS: dict[int, tuple[_Error, str]] = {
    400: (BadGateway, "refused the request as wrong"),
    404: (ResourceNotFound, "has no such resource"),
    409: (Conflict, "has a conflict with it"),
    504: (GatewayTimeout, "did not get an answer in time"),
    508: (LoopDetected, "sends it back to this broker"),
}


def error_of(reply: Reply) -> NgsiLdError:
    """The error of a step that failed. It names the registration, never the endpoint (6.3.17)."""
    who = f"the source of registration {reply.step.match.source.id}"
    if reply.fault is not None:
        error: _Error = GatewayTimeout if reply.fault in _SLOW else BadGateway
        return error(f"{who} {reply.fault.value}")
    if reply.status == 409 and _type(reply.doc).endswith("AlreadyExists"):
        return AlreadyExists(f"{who} has it already")
    made, what = _BY_STATUS.get(reply.status or 0, (BadGateway, f"answered with status {reply.status}"))
    return made(f"{who} {what}")


def _type(doc: Json) -> str:
    return str(doc.get("type", "")) if isinstance(doc, dict) else ""
