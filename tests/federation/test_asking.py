"""Sources are asked (6.3.17), those that misbehave too: each time there is the right reply, soon enough."""

import asyncio
import gzip
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import pytest

from broker.core import Json
from broker.core.errors import TooComplexQuery
from broker.core.federation.origin import Origin
from broker.core.federation.step import Fault, Reply, Step
from broker.core.jsonld.context import Context
from broker.core.query import Query
from tests.core.documents import CORE, EX, V
from tests.core.federation.steps import ID, LINKED, some_source, step
from tests.federation.rig import (
    Behaviour,
    Peer,
    answering,
    asking,
    dripping,
    hanging,
    json,
    peer,
    resetting,
    response,
)
from tests.notify.some import until

pytestmark = pytest.mark.clause("6.3.17")

ORIGIN = Origin("")
ROOM = {
    "id": ID,
    "type": "Room",
    "heat": {"type": "Property", "value": 5, "modifiedAt": "2026-01-01T00:00:00Z"},
}
HEAT = "https://ex.org/t/heat"


def retrieval(there: Peer, **members: Any) -> Step:
    return step("retrieveEntity", there.source(**members), entity_id=ID)


def deletion(there: Peer) -> Step:
    return step("deleteEntity", there.source(), entity_id=ID)


def query(there: Peer) -> Step:
    return step("queryEntity", there.source(), query=Query())


async def replies(behaviour: Behaviour, make: Any = retrieval, times: int = 1, **limits: Any) -> list[Reply]:
    """The replies of a peer that is asked so many times, one after another."""
    async with peer(behaviour) as there, asking(**limits) as asked:
        return [(await asked.asker.ask(ORIGIN, [make(there)]))[0] for _ in range(times)]


async def reply(behaviour: Behaviour, make: Any = retrieval, **limits: Any) -> Reply:
    return (await replies(behaviour, make, **limits))[0]


async def test_a_retrieval() -> None:
    warning = '199 far "x"'
    async with peer(answering(json(ROOM, NGSILD_Warning=warning))) as there, asking() as asked:
        [found] = await asked.asker.ask(ORIGIN, [retrieval(there)])
    assert (found.status, found.fault, found.warnings) == (200, None, (warning,))
    assert found.entities == (
        {"id": ID, "type": ["https://ex.org/Room"], "attrs": {
            HEAT: [{"type": "Property", "value": 5, "modifiedAt": "2026-01-01T00:00:00"}]}},
    )  # fmt: skip
    assert asked.contexts.asked == []
    request = there.received[0]
    assert request.target == f"/ngsi-ld/v1/entities/{ID}?options=sysAttrs"
    assert request.headers["via"] == "1.1 me"
    assert 4000 < int(request.headers["eridanus-deadline"]) <= 4500


async def test_writes_have_a_length_and_no_chunks() -> None:
    """As a server of HTTP/1.0 needs it."""
    doc = {"id": ID, "type": "Room"}
    answer = response(status=201, version="1.0")
    async with peer(answering(answer)) as there, asking() as asked:
        steps = [
            step("createEntity", there.source(), doc=doc),
            step("updateAttrs", there.source(), entity_id=ID, attr=HEAT, doc={"value": 1}),
            step("deleteEntity", there.source(), entity_id=ID),
        ]
        found = [(await asked.asker.ask(ORIGIN, [one]))[0] for one in steps]
    assert [(one.status, one.fault, one.doc) for one in found] == [(201, None, None)] * 3
    assert [orjson.loads(one.body) for one in there.received[:2]] == [doc, {"value": 1}]
    assert [one.headers.get("transfer-encoding") for one in there.received] == [None] * 3


class TestMisbehaviour:
    """What one peer does, and what becomes of it."""

    async def test_no_answer(self) -> None:
        found = await reply(hanging, timeout=0.2)
        assert (found.status, found.fault) == (None, Fault.TIMEOUT)

    async def test_the_registration_sets_a_shorter_time(self) -> None:
        began = asyncio.get_running_loop().time()
        found = await reply(hanging, lambda there: retrieval(there, management={"timeout": 100}))
        assert found.fault is Fault.TIMEOUT
        assert asyncio.get_running_loop().time() - began < 2

    async def test_the_rest_of_the_deadline(self) -> None:
        now = asyncio.get_running_loop().time()
        async with peer(hanging) as there, asking() as asked:
            [found] = await asked.asker.ask(Origin("", deadline=now + 0.5), [retrieval(there)])
        assert found.fault is Fault.TIMEOUT
        assert asyncio.get_running_loop().time() - now < 3
        assert int(there.received[0].headers["eridanus-deadline"]) <= 450

    async def test_drips(self) -> None:
        assert (await reply(dripping(json(ROOM)), timeout=0.3)).fault is Fault.TIMEOUT

    async def test_a_reset(self) -> None:
        async with peer(resetting) as there, asking() as asked:
            found = await asked.asker.ask(ORIGIN, [retrieval(there), deletion(there)])
        assert [(one.status, one.fault) for one in found] == [(None, Fault.REFUSED)] * 2
        assert sorted(one.method for one in there.received) == ["DELETE", "GET"]  # nothing is sent twice

    async def test_nobody_there(self) -> None:
        async with peer(hanging) as there:
            pass
        async with asking() as asked:
            [found] = await asked.asker.ask(ORIGIN, [retrieval(there)])
        assert found.fault is Fault.REFUSED

    async def test_an_answer_that_is_no_http(self) -> None:
        assert (await reply(answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))).fault is Fault.REFUSED

    async def test_a_header_that_http_cannot_carry(self) -> None:
        def broken(there: Peer) -> Step:
            return step(
                "retrieveEntity", replace(there.source(), headers=(("x", "a\r\nb: c"),)), entity_id=ID
            )

        assert (await reply(answering(json(ROOM)), broken)).fault is Fault.REFUSED

    async def test_an_answer_that_ends_too_early(self) -> None:
        async def cut(there: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await there.request(reader)
            writer.write(json(ROOM)[:-5])

        found = await reply(cut)
        assert (found.status, found.fault, found.entities) == (200, Fault.INVALID, ())

    async def test_too_much(self) -> None:
        many = json([ROOM] * 100)
        found = await replies(answering(many, json(ROOM)), times=2, max_bytes=2000)
        assert [(one.status, one.fault) for one in found] == [(200, Fault.TOO_LARGE), (200, None)]

    async def test_as_much_as_allowed(self) -> None:
        exact = json(ROOM)
        length = len(exact.partition(b"\r\n\r\n")[2])
        assert (await reply(answering(exact), max_bytes=length)).fault is None
        assert (await reply(answering(exact), max_bytes=length - 1)).fault is Fault.TOO_LARGE

    async def test_a_gzip_bomb(self) -> None:
        bomb = response(gzip.compress(b" " * 50_000_000), Content_Encoding="gzip")
        found = await reply(answering(bomb))
        assert (found.status, found.fault) == (200, Fault.TOO_LARGE)

    async def test_gzip_that_is_none(self) -> None:
        assert (await reply(answering(response(b"nonsense", Content_Encoding="gzip")))).fault is Fault.INVALID

    @pytest.mark.parametrize(
        "body",
        [b"<html>Hello</html>", b"5", b'"x"', b"null", b"{}", b'{"id": "urn:x:1"}', b"[5]",
         b"[" * 70 + b"]" * 70,
         b'{"id": "urn:ngsi-ld:Room:1", "type": "Room", "heat": {"type": "Odd"}}', b'{"a": "\\ud800"}'],
    )  # fmt: skip
    async def test_a_200_that_is_no_ngsi_ld(self, body: bytes) -> None:
        found = await reply(answering(response(body)))
        assert (found.status, found.fault, found.entities) == (200, Fault.INVALID, ())

    async def test_a_deep_value(self) -> None:
        deep: Json = 1
        for _ in range(100):
            deep = [deep]
        found = await reply(answering(json({**ROOM, "cold": {"type": "Property", "value": deep}})))
        assert (found.fault, found.doc) == (Fault.INVALID, None)

    async def test_another_entity_is_no_answer_to_a_retrieval(self) -> None:
        found = await reply(answering(json({**ROOM, "id": "urn:x:other"})))
        assert (found.fault, found.entities) == (Fault.INVALID, ())

    async def test_a_redirect_is_not_followed(self) -> None:
        async with peer(answering(json(ROOM))) as target:
            found = await reply(answering(response(status=307, Location=target.url + "/x")))
        assert (found.status, found.fault, found.entities) == (307, None, ())
        assert target.received == []

    async def test_cookies_are_not_kept(self) -> None:
        async with peer(answering(json(ROOM, Set_Cookie="a=b"))) as there, asking() as asked:
            for _ in range(2):
                await asked.asker.ask(ORIGIN, [retrieval(there)])
        assert all("cookie" not in one.headers for one in there.received)

    async def test_207_without_a_body(self) -> None:
        found = await reply(answering(response(status=207)), deletion)
        assert (found.status, found.fault, found.doc) == (207, None, None)

    async def test_an_error_with_html(self) -> None:
        found = await reply(answering(response(b"<html>", 503)))
        assert (found.status, found.fault, found.doc) == (503, None, None)

    async def test_a_success_with_html(self) -> None:
        found = await reply(answering(response(b"<html>", 201)), deletion)
        assert (found.status, found.fault, found.doc) == (201, None, None)

    async def test_others_are_not_delayed(self) -> None:
        async with peer(hanging) as slow, peer(answering(json(ROOM))) as quick, asking(timeout=1) as asked:
            waiting = asyncio.create_task(asked.asker.ask(ORIGIN, [retrieval(slow)] * 3))
            await until(lambda: bool(slow.received))
            [found] = await asyncio.wait_for(asked.asker.ask(ORIGIN, [retrieval(quick)]), 0.9)
            assert found.entities
            await waiting


class TestShapes:
    async def test_no_body_is_no_data(self) -> None:
        found = await reply(answering(response()))
        assert (found.status, found.fault, found.entities, found.doc) == (200, None, (), None)

    async def test_an_array_where_one_was_due_and_the_reverse(self) -> None:
        assert len((await reply(answering(json([ROOM])))).entities) == 1
        assert len((await reply(answering(json(ROOM)), query)).entities) == 1

    async def test_the_good_ones_of_an_array(self) -> None:
        bad = {"id": "no uri", "type": "Room"}
        found = await reply(answering(json([ROOM, bad, {**ROOM, "id": "urn:x:2"}])), query)
        assert [one["id"] for one in found.entities] == [ID, "urn:x:2"]
        assert found.fault is Fault.INVALID

    async def test_ids_that_were_not_asked_for_are_left_out(self) -> None:
        def by_id(there: Peer) -> Step:
            return step("queryEntity", there.source(), query=Query(ids=(ID,)))

        found = await reply(answering(json([{**ROOM, "id": "urn:x:2"}, ROOM])), by_id)
        assert ([one["id"] for one in found.entities], found.fault) == ([ID], None)

    async def test_a_large_answer(self) -> None:
        many = [{**ROOM, "id": f"urn:x:{number}"} for number in range(4000)]
        assert len((await reply(answering(json(many)), query)).entities) == 4000

    async def test_an_error_has_its_json(self) -> None:
        found = await reply(answering(json({"type": "x", "title": "y"}, 404)))
        assert (found.status, found.fault, found.doc["title"]) == (404, None, "y")


@pytest.mark.clause("6.3.5")
class TestNames:
    """An answer is read in the @context that it names, else in that of the request."""

    LINK = '<{}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'

    async def entity(self, doc: Json, context: Context = LINKED, link: str | None = None) -> Reply:
        """The reply of a source that answers with a document, and perhaps a Link."""
        headers = {} if link is None else {"Link": self.LINK.format(link)}
        answer = response(orjson.dumps(doc), 200, **headers)
        async with peer(answering(answer)) as there, asking() as asked:
            asked.contexts.known["https://ex.org/core.jsonld"] = CORE
            made = step("retrieveEntity", there.source(), context, entity_id=ID)
            return (await asked.asker.ask(ORIGIN, [made]))[0]

    async def test_that_of_the_request(self) -> None:
        assert HEAT in (await self.entity(ROOM)).entities[0]["attrs"]
        assert HEAT in (await self.entity(ROOM, link=LINKED.source)).entities[0]["attrs"]

    async def test_the_core_if_it_was_asked_in_that(self) -> None:
        assert V + "heat" in (await self.entity(ROOM, EX)).entities[0]["attrs"]

    async def test_that_of_its_link(self) -> None:
        found = await self.entity(ROOM, link="https://ex.org/core.jsonld")
        assert V + "heat" in found.entities[0]["attrs"]

    async def test_its_own(self) -> None:
        found = await self.entity({**ROOM, "@context": "https://ex.org/core.jsonld"})
        assert V + "heat" in found.entities[0]["attrs"]

    async def test_one_that_cannot_be_had(self) -> None:
        found = await self.entity({**ROOM, "@context": "https://ex.org/gone.jsonld"})
        assert (found.fault, found.entities) == (Fault.INVALID, ())

    async def test_a_source_whose_names_cannot_be_had_is_not_asked(self) -> None:
        pairs = {"jsonldContext": "https://ex.org/gone.jsonld"}
        async with peer(answering(json(ROOM))) as there, asking() as asked:
            found = await asked.asker.ask(ORIGIN, [retrieval(there, pairs=pairs), retrieval(there)])
        assert [one.fault for one in found] == [Fault.REFUSED, None]
        assert len(there.received) == 1


class TestEconomy:
    async def test_equal_requests_are_sent_once(self) -> None:
        async with peer(answering(json(ROOM))) as there, asking() as asked:
            steps = [retrieval(there), retrieval(there), deletion(there)]
            steps[1] = replace(
                steps[1], match=replace(steps[1].match, source=replace(there.source(), id="urn:r:2"))
            )
            found = await asked.asker.ask(ORIGIN, steps)
        assert [one.step for one in found] == steps
        assert [len(one.entities) for one in found] == [1, 1, 0]
        assert len(there.received) == 2

    async def test_connections_are_kept(self) -> None:
        async with peer(answering(json(ROOM))) as there, asking() as asked:
            for _ in range(5):
                await asked.asker.ask(ORIGIN, [retrieval(there)])
        assert (len(there.received), there.connections) == (5, 1)

    @pytest.mark.parametrize(("method", "sent"), [("GET", 3), ("DELETE", 2)])
    async def test_only_a_get_is_sent_again_when_a_kept_connection_breaks(
        self, method: str, sent: int
    ) -> None:
        async def once(there: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await there.request(reader)
            writer.write(json(ROOM))
            await there.request(reader)
            writer.transport.abort()

        make = retrieval if method == "GET" else deletion
        async with peer(once) as there, asking() as asked:
            found = [(await asked.asker.ask(ORIGIN, [make(there)]))[0] for _ in range(2)]
        assert len(there.received) == sent
        assert found[0].fault is None
        assert (found[1].fault is None) == (method == "GET")

    async def test_too_many_sources(self) -> None:
        steps = [step("deleteEntity", some_source(f"http://source{n}"), entity_id=ID) for n in range(3)]
        async with asking(sources=2) as asked:
            with pytest.raises(TooComplexQuery):
                await asked.asker.ask(ORIGIN, steps)

    @pytest.mark.parametrize(
        "bound", [{"fanout": 2}, {"per_endpoint": 2}, {"per_worker": 2}], ids=lambda bound: next(iter(bound))
    )
    async def test_requests_at_once_are_bounded(self, bound: dict[str, int]) -> None:
        at_once: list[int] = [0, 0]

        async def count(there: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await there.request(reader)
                at_once[0] += 1
                at_once[1] = max(at_once)
                await asyncio.sleep(0.02)
                at_once[0] -= 1
                writer.write(json(ROOM))

        async with peer(count) as there, asking(**bound) as asked:
            steps = [step("retrieveEntity", there.source(), entity_id=f"urn:x:{n}") for n in range(7)]
            await asked.asker.ask(ORIGIN, steps)
        assert (len(there.received), at_once[1]) == (7, 2)

    async def test_the_wait_for_a_turn_is_time_and_no_fault_of_the_endpoint(self) -> None:
        async with peer(hanging) as there, asking(per_endpoint=1, timeout=0.3) as asked:
            steps = [step("retrieveEntity", there.source(), entity_id=f"urn:x:{n}") for n in range(9)]
            began = asyncio.get_running_loop().time()
            found = await asked.asker.ask(ORIGIN, steps)
            assert asyncio.get_running_loop().time() - began < 2
            assert [one.fault for one in found] == [Fault.TIMEOUT] * 9
            assert len(there.received) <= 1  # none if the machine is busy
            again = await asked.asker.ask(ORIGIN, steps[:1])
        assert again[0].fault is Fault.TIMEOUT  # the circuit is not open: one silence is not three


class TestPatience:
    async def test_a_cooldown_after_any_failure(self) -> None:
        async with peer(answering(response(status=500), json(ROOM))) as there, asking() as asked:
            steps = [retrieval(there, management={"cooldown": 300})]
            first, second = [(await asked.asker.ask(ORIGIN, steps))[0] for _ in range(2)]
            assert (first.status, second.fault) == (500, Fault.COOLING)
            assert len(there.received) == 1
            await asyncio.sleep(0.35)
            [third] = await asked.asker.ask(ORIGIN, steps)
        assert third.entities

    async def test_a_changed_registration_is_asked_again(self) -> None:
        async with peer(answering(response(status=500), json(ROOM))) as there, asking() as asked:
            before, after = [retrieval(there, management={"cooldown": 60_000}) for _ in range(2)]
            await asked.asker.ask(ORIGIN, [before])
            assert (await asked.asker.ask(ORIGIN, [before]))[0].fault is Fault.COOLING
            assert (await asked.asker.ask(ORIGIN, [after]))[0].entities

    @pytest.mark.parametrize("status", [400, 404, 409])
    async def test_what_the_request_is_to_blame_for_cools_nothing(self, status: int) -> None:
        async with peer(answering(response(status=status))) as there, asking() as asked:
            made = retrieval(there, management={"cooldown": 60_000})
            for _ in range(2):
                await asked.asker.ask(ORIGIN, [made])
        assert len(there.received) == 2

    async def test_errors_open_no_circuit(self) -> None:
        found = await replies(answering(response(status=500)), times=5)
        assert [one.status for one in found] == [500] * 5

    async def test_three_silences_do(self) -> None:
        found = await replies(hanging, times=5, timeout=0.1)
        assert [one.fault for one in found] == [Fault.TIMEOUT] * 3 + [Fault.COOLING] * 2

    async def test_an_endpoint_that_refuses_is_asked_each_time(self) -> None:
        async with peer(hanging) as there:
            pass
        async with asking() as asked:
            found = [(await asked.asker.ask(ORIGIN, [retrieval(there)]))[0] for _ in range(5)]
        assert [one.fault for one in found] == [Fault.REFUSED] * 5


def _has_received(there: Peer, count: int) -> bool:
    return len(there.received) == count


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    async with peer(hanging) as there, asking(per_endpoint=4, per_worker=4) as asked:
        steps = [step("retrieveEntity", there.source(), entity_id=f"urn:x:{n}") for n in range(9)]
        for _ in range(5):
            asking_task = asyncio.create_task(asked.asker.ask(ORIGIN, steps))
            count = len(there.received)
            await until(partial(_has_received, there, count + 4))
            asking_task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking_task
        await until(lambda: there.closed == there.connections)
        there.behaviour = answering(json(ROOM))
        [found] = await asked.asker.ask(ORIGIN, [retrieval(there)])
        assert found.entities  # neither a circuit is open, nor are turns lost


async def test_a_probe_of_a_client_that_leaves_is_no_probe() -> None:
    async with peer(hanging) as there, asking() as asked:
        for _ in range(3):
            await asked.asker.ask(ORIGIN, [retrieval(there, management={"timeout": 100})])
        await asyncio.sleep(1.05)
        before = len(there.received)
        probe = asyncio.create_task(asked.asker.ask(ORIGIN, [retrieval(there)]))
        await until(partial(_has_received, there, before + 1))
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        there.behaviour = answering(json(ROOM))
        assert (await asked.asker.ask(ORIGIN, [retrieval(there)]))[0].entities
