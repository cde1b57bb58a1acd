"""The check of an external MongoDB: it must be reachable, have transactions, and be 6.0 or newer."""

from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError

_OLDEST = (6, 0)
_AUTHENTICATION_FAILED = 18
Client = AsyncMongoClient[dict[str, Any]]


class ServerUnfitError(Exception):
    """The external MongoDB cannot be used; the message says why in one sentence, without passwords."""


def connect(uri: str) -> Client:
    """A client that waits 5 s for a primary, unless the URI sets another time.

    ServerUnfitError if the URI is invalid; the message does not quote it.
    """
    # The client is mostly idle: it needs no stream of heartbeats.
    options: dict[str, Any] = {"serverMonitoringMode": "poll"}
    if "serverselectiontimeoutms" not in uri.lower():
        options["serverSelectionTimeoutMS"] = 5000
    try:
        return AsyncMongoClient(uri, **options)
    except (PyMongoError, ValueError) as error:
        # The driver's message may quote a part of the password, if that has an unescaped character.
        raise ServerUnfitError(
            "BROKER_MONGO_URI is not a MongoDB URI: it looks like mongodb://user:password@host1,host2/"
            "?replicaSet=name, with special characters of the password escaped by %"
        ) from error


async def check_server(client: Client) -> None:
    """Returns if the server of `client` is fit for a broker; ServerUnfitError otherwise."""
    try:
        hello = await client.admin.command("hello")
        version = (await client.server_info())["versionArray"]
    except ServerSelectionTimeoutError as error:
        raise ServerUnfitError(_unreachable(client)) from error
    except OperationFailure as error:
        raise ServerUnfitError(_refused(error)) from error
    except PyMongoError as error:
        raise ServerUnfitError(f"MongoDB does not answer: {error}") from error
    if complaint := unfit(hello, version):
        raise ServerUnfitError(complaint)


def unfit(hello: dict[str, Any], version: list[int]) -> str | None:
    """Why a server with this reply to `hello` and this version is unfit; None if it is fit."""
    if tuple(version[:2]) < _OLDEST:
        return f"MongoDB {version[0]}.{version[1]} is too old: 6.0 or newer is needed"
    if "setName" in hello or hello.get("msg") == "isdbgrid":
        return None
    if "isreplicaset" in hello:
        return _NOT_INITIATED
    return (
        "this MongoDB is a standalone server, which has no transactions: start mongod with --replSet rs0, "
        "run rs.initiate() once in mongosh, and try again"
    )


_NOT_INITIATED = "the replica set of this MongoDB is not initiated: run rs.initiate() once in mongosh"


def _unreachable(client: Client) -> str:
    servers = client.topology_description.server_descriptions().values()
    if any(server.server_type_name == "RSGhost" for server in servers):
        return _NOT_INITIATED
    if not servers:
        return "the servers of BROKER_MONGO_URI belong to a replica set of another name than the URI says"
    hosts = ", ".join(f"{host}:{port}" for host, port in sorted(server.address for server in servers))
    if any(server.is_server_type_known for server in servers):
        return f"{hosts} can be reached, but the replica set has no primary"
    seconds = client.options.server_selection_timeout
    return f"cannot reach MongoDB at {hosts} within {seconds:g} s: is it running, and is the address right?"


def _refused(error: OperationFailure) -> str:
    if error.code == _AUTHENTICATION_FAILED:
        return "MongoDB refuses the user name or the password of BROKER_MONGO_URI"
    return f"MongoDB refuses the broker: {error.details.get('errmsg') if error.details else error}"
