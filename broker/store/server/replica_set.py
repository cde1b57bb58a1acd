"""Makes a running mongod a writable one-node replica set, with a user for the broker."""

import asyncio
from typing import Any, NamedTuple

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from broker.store.server.mongod import REPLICA_SET, EmbeddedMongoError

_Client = AsyncMongoClient[dict[str, Any]]
_POLL = 0.01
_UNAUTHORIZED, _AUTHENTICATION_FAILED = 13, 18
_ALREADY_INITIALIZED, _NOT_YET_INITIALIZED = 23, 94


class Credentials(NamedTuple):
    """The one user of the embedded server."""

    user: str
    password: str


def uri(port: int, credentials: Credentials) -> str:
    """The URI that brokers use.

    Not a direct connection: while the server restarts, drivers wait for its primary state.
    """
    user, password = credentials
    return f"mongodb://{user}:{password}@127.0.0.1:{port}/?authSource=admin&replicaSet={REPLICA_SET}"


async def make_writable(port: int, credentials: Credentials) -> str:
    """Makes the server on `port` a writable primary with the broker's user, from any state.

    Returns its version. EmbeddedMongoError if the user has another password.
    """
    async with _client(port) as stranger:
        if "setName" not in await _hello(stranger):
            await _found(stranger, port, credentials)
        while not (await _hello(stranger))["isWritablePrimary"]:  # noqa: ASYNC110 - the server tells only who asks
            await asyncio.sleep(_POLL)
        if not await _is_new_user(stranger, credentials):
            await _enter(port, credentials)
        version: str = (await stranger.server_info())["version"]
        return version


def _client(port: int, credentials: Credentials | None = None) -> _Client:
    user, password = credentials or (None, None)
    return AsyncMongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=5000,
        serverMonitoringMode="poll",  # the client lives for a moment: it needs no stream of heartbeats
        username=user,
        password=password,
    )


async def _hello(client: _Client) -> dict[str, Any]:
    return await client.admin.command("hello")


async def _found(stranger: _Client, port: int, credentials: Credentials) -> None:
    """Initiates the replica set; moves it to this port if it was initiated on another one."""
    configuration = {
        "_id": REPLICA_SET,
        "members": _members(port),
        "settings": {"electionTimeoutMillis": 500},
    }
    try:
        await stranger.admin.command("replSetInitiate", configuration)
    except OperationFailure as error:
        if error.code not in (_UNAUTHORIZED, _ALREADY_INITIALIZED):
            raise
        async with _client(port, credentials) as friend:
            await _move(friend, port)


def _members(port: int) -> list[dict[str, Any]]:
    return [{"_id": 0, "host": f"127.0.0.1:{port}"}]


async def _move(friend: _Client, port: int) -> None:
    current = await _configuration(friend)
    if current["members"][0]["host"] == f"127.0.0.1:{port}":
        return  # the server is still reading the configuration it has
    moved = {**current, "version": current["version"] + 1, "members": _members(port)}
    await friend.admin.command("replSetReconfig", moved, force=True)


async def _configuration(friend: _Client) -> dict[str, Any]:
    """The stored configuration. Waits, since the server first tries to reach the old port."""
    while True:
        try:
            answer = await friend.admin.command("replSetGetConfig")
        except OperationFailure as error:
            if error.code != _NOT_YET_INITIALIZED:
                raise
            await asyncio.sleep(_POLL)
        else:
            configuration: dict[str, Any] = answer["config"]
            return configuration


async def _is_new_user(stranger: _Client, credentials: Credentials) -> bool:
    """Creates the broker's user, which only a server without users allows; False if it has users."""
    user, password = credentials
    try:
        await stranger.admin.command("createUser", user, pwd=password, roles=["root"])
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return False
    return True


async def _enter(port: int, credentials: Credentials) -> None:
    """Logs in, to check the password; EmbeddedMongoError if the server does not accept it."""
    try:
        async with _client(port, credentials) as friend:
            await friend.admin.command("ping")
    except OperationFailure as error:
        if error.code != _AUTHENTICATION_FAILED:
            raise
        raise EmbeddedMongoError(
            "the embedded MongoDB server does not accept the password in the data directory: "
            "restore the file mongodb/password that belongs to this data"
        ) from error
