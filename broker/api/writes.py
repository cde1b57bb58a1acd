"""A request as a write to one entity, and the outcome of a write as a response (6.3.17)."""

from collections.abc import Iterator

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.problem import batch_error
from broker.core import Json
from broker.core.entity.parse import attribute_name
from broker.core.errors import BadRequestData
from broker.core.federation.settle import Failure, Settled
from broker.core.federation.write import Write
from broker.core.jsonld.context import Context


def entity_id(call: Call) -> str:
    """The entity id in the path; BadRequestData if it is no URI."""
    return call.path_uri("entityId")


async def read_write(call: Call, operation: str, *, is_path_enough: bool = False) -> Write:
    """The write of a request with a document; `operation`: its name of 4.20.

    BadRequestData if the document is of another entity than the path, unless `is_path_enough` (doubt 108).
    """
    target = entity_id(call)
    doc, context = await call.body()
    if is_path_enough:
        doc.pop("id", None)
    same_id(doc, target)
    return new_write(call, operation, target, context, doc)


def same_id(doc: Json, target: str) -> None:
    """5.4: returns if the id of a fragment is `target` or missing; BadRequestData otherwise."""
    if isinstance(doc, dict) and doc.get("id", doc.get("@id", target)) != target:
        raise BadRequestData("id: expected the id in the path, or none")


async def read_attr_write(call: Call, operation: str) -> Write:
    """The write of a request with a document for the attribute in the path."""
    target = entity_id(call)
    doc, context = await call.body()
    return new_write(call, operation, target, context, doc, path_attr(call, context))


def new_write(
    call: Call, operation: str, target: str, context: Context, doc: Json = None, attr: str | None = None
) -> Write:
    """The write of a request, with its parameters. BadRequestData if `type` is wrong."""
    sent = {name: text for name, text in call.params.items() if name != p.LOCAL}
    return Write(operation, target, context, doc, sent, attr, p.type_selection(call.params, context))


def path_attr(call: Call, context: Context) -> str:
    """The attribute in the path (IRI, or "scope"); BadRequestData if it is no name."""
    name = call.path[1]
    return name if name == "scope" else attribute_name(name, context)


def updated(settled: Settled) -> web.Response:
    """204, or 207 with an UpdateResult (5.2.18) if parts of the write failed."""
    if not settled.failures:
        return reply.nothing()
    failed = [item for failure in settled.failures for item in _not_updated(failure)]
    return reply.plain(207, {"updated": [*settled.updated], "notUpdated": failed})


def _not_updated(failure: Failure) -> Iterator[dict[str, Json]]:
    """The NotUpdatedDetails (5.2.19) of a part; one without attributes had only types."""
    source = {} if failure.registration is None else {"registrationId": failure.registration}
    for name in failure.attrs or ("type",):
        yield {"attributeName": name, "reason": failure.error.detail, **source}


def done(settled: Settled, target: str | None, whole: web.Response) -> web.Response:
    """The response to a write of a whole entity: `whole`, or 207 if parts of the write failed (5.2.16).

    `target`: the entity; None for a purge, of which nobody says which entities it deleted.
    """
    if not settled.failures:
        return whole
    errors = [batch_error(failure.error, target, failure.registration) for failure in settled.failures]
    success = [target] if settled.is_done and target is not None else []
    return reply.plain(207, {"success": success, "errors": errors})
