"""Asks sources, and never fails because of one (clauses 4.3.6, 6.3.17)."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import aiohttp

from broker.core.errors import LdContextNotAvailable, NgsiLdError, TooComplexQuery
from broker.core.federation.origin import Origin
from broker.core.federation.step import Fault, Reply, Request, Step
from broker.core.federation.wire import asked_in, is_asked_in_own, request
from broker.core.identity import alias
from broker.core.jsonld.context import Context
from broker.federation import answers
from broker.federation.breaker import Breaker, Cooldowns, Outcome
from broker.federation.exchange import Exchange, ExchangeLimits, Unanswered
from broker.ports.contexts import ContextLoader

log = logging.getLogger(__name__)

# Statuses that say something about the request, or about the data, and nothing about the source.
_OF_THE_REQUEST = frozenset((400, 404, 409, 413, 422))


@dataclass(frozen=True, slots=True)
class AskingLimits:
    """`timeout`: seconds for one request. `deadline`: for all of a client's. `fanout`: of them at once.

    `sources`: steps of one client's request.
    """

    timeout: float = 5.0
    deadline: float = 10.0
    fanout: int = 16
    sources: int = 256
    exchange: ExchangeLimits = field(default_factory=ExchangeLimits)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One request, and the numbers of the steps that it is for."""

    request: Request
    names: Context
    steps: list[int]


@dataclass(frozen=True, slots=True)
class _Round:
    """The steps of one client's request. `replies`: by the numbers of the steps."""

    steps: Sequence[Step]
    began: float
    deadline: float
    turns: asyncio.Semaphore
    replies: dict[int, Reply] = field(default_factory=dict)


class Asker:
    """See `ports.Sources.ask`. `name`: the alias of this broker, of which each tenant has its own."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        contexts: ContextLoader,
        name: str,
        limits: AskingLimits,
    ) -> None:
        self._exchange = Exchange(session, limits.exchange)
        self._contexts = contexts
        self._name = name
        self._limits = limits
        self._breaker = Breaker()
        self._cooldowns = Cooldowns()

    async def ask(self, origin: Origin, steps: Sequence[Step]) -> list[Reply]:
        """See `ports.Sources.ask`. TooComplexQuery if there are more steps than one request may have."""
        if len(steps) > self._limits.sources:
            raise TooComplexQuery(f"this concerns {len(steps)} context sources, more than are asked at once")
        began = _now()
        latest = began + self._limits.deadline
        deadline = latest if origin.deadline is None else min(origin.deadline, latest)
        round_ = _Round(steps, began, deadline, asyncio.Semaphore(self._limits.fanout))
        groups = await self._prepared(origin, round_)
        if len(groups) == 1:  # as most often: a task would cost more than it is worth
            await self._ask(groups[0], round_)
        else:
            async with asyncio.TaskGroup() as tasks:
                for group in groups:
                    tasks.create_task(self._ask(group, round_))
        return [round_.replies[number] for number in range(len(steps))]

    async def _prepared(self, origin: Origin, round_: _Round) -> list[_Prepared]:
        """The requests of the steps; equal ones are one. A step that cannot be asked gets its reply here."""
        groups: dict[object, _Prepared] = {}
        contexts = await self._named(round_.steps, round_.deadline)
        own_alias = alias(self._name, origin.tenant)
        for number, step in enumerate(round_.steps):
            if self._cooldowns.is_cooling(step.match.source, round_.began):
                round_.replies[number] = Reply(step, fault=Fault.COOLING)
                continue
            try:
                names = self._names(step, contexts)
                made = request(step, origin, own_alias, names)
            except NgsiLdError as error:
                log.warning("a source cannot be asked", extra=_about(step) | {"reason": error.detail})
                round_.replies[number] = Reply(step, fault=Fault.REFUSED)
                self._note(round_.replies[number])
                continue
            key = (made.method, made.url, made.body, frozenset(made.headers.items()))
            groups.setdefault(key, _Prepared(made, names, [])).steps.append(number)
        return list(groups.values())

    async def _named(self, steps: Sequence[Step], deadline: float) -> dict[str | None, Context | NgsiLdError]:
        """The @contexts in whose names sources are asked, where it is not that of the client, by URL."""
        urls = dict.fromkeys(asked_in(step) for step in steps if not is_asked_in_own(step))
        if not urls:
            return {}
        until = min(deadline, _now() + self._limits.timeout)
        return dict(
            zip(urls, await asyncio.gather(*(self._named_by(url, until) for url in urls)), strict=True)
        )

    async def _named_by(self, url: str | None, until: float) -> Context | NgsiLdError:
        if url is None:
            return self._contexts.core
        try:
            async with asyncio.timeout_at(until):
                return await self._contexts.resolve(url)
        except NgsiLdError as error:
            return error
        except TimeoutError:
            return LdContextNotAvailable(f"{url}: not loaded in time")

    def _names(self, step: Step, contexts: Mapping[str | None, Context | NgsiLdError]) -> Context:
        if is_asked_in_own(step):
            return step.context
        if isinstance(context := contexts[asked_in(step)], NgsiLdError):
            raise context
        return context

    async def _ask(self, group: _Prepared, round_: _Round) -> None:
        """Sends one request, and notes its reply for each of its steps."""
        members = [round_.steps[number] for number in group.steps]
        times = [step.match.source.timeout or self._limits.timeout for step in members]
        until = min(round_.deadline, round_.began + min(max(times), self._limits.timeout))
        reply = await self._reply(group, members[0], until, round_.turns)
        for number, step in zip(group.steps, members, strict=True):
            round_.replies[number] = reply if step is reply.step else replace(reply, step=step)
            if reply.fault is not Fault.COOLING:
                self._note(round_.replies[number])

    async def _reply(self, group: _Prepared, step: Step, until: float, turns: asyncio.Semaphore) -> Reply:
        source = step.match.source
        attempt = self._breaker.admit((source.endpoint, source.tenant), _now())
        if attempt is None:
            return Reply(step, fault=Fault.COOLING)
        outcome = Outcome.UNKNOWN  # also if the client leaves meanwhile
        try:
            answer = await self._exchange.send(group.request, until, turns)
            outcome = Outcome.ANSWERED
            async with asyncio.timeout_at(until):
                return await answers.read(step, answer, group.names, self._contexts)
        except Unanswered as unanswered:
            outcome = unanswered.outcome
            log.info("a source did not answer", extra=_about(step) | {"reason": repr(unanswered.__cause__)})
            return Reply(step, fault=unanswered.fault)
        except TimeoutError:  # while an @context of the answer was fetched
            return Reply(step, fault=Fault.INVALID)
        finally:
            self._breaker.settle(attempt, outcome, _now())

    def _note(self, reply: Reply) -> None:
        source, status = reply.step.match.source, reply.status or 0
        has_succeeded = reply.fault is None and (200 <= status < 300 or status == 404)
        if source.cooldown is not None and not has_succeeded and status not in _OF_THE_REQUEST:
            self._cooldowns.failed(source, source.cooldown, _now())


def _now() -> float:
    return asyncio.get_running_loop().time()


def _about(step: Step) -> dict[str, str]:
    return {"registration": step.match.source.id, "operation": step.operation}
