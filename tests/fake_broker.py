"""A broker whose workers do nothing but answer, for tests of the parent process.

`python -m tests.fake_broker` supervises; with `worker` it is one worker: it answers every request with
its process ids and stops at SIGTERM. With FAKE_WORKER=stubborn it does not stop; with FAKE_WORKER=locking
it holds an open transaction that has written the document of its BROKER_PROCESS_ID, and with
FAKE_WORKER=stillborn it ends at once.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from pymongo.errors import CollectionInvalid

from broker.config import Settings
from broker.logs import setup_logs
from broker.store.registry.processes import Processes
from broker.store.server.external import connect
from broker.supervisor import supervise

_COMMAND = [sys.executable, "-m", "tests.fake_broker", "worker"]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = f"{os.getpid()} {os.environ['BROKER_PROCESS_ID']} {os.environ['BROKER_MONGO_URI']}"
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def _work() -> None:
    asked = asyncio.Event()
    if os.environ.get("FAKE_WORKER") == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    settings = Settings()
    if os.environ.get("FAKE_WORKER") == "locking":
        await _lock(settings)
    async with await asyncio.start_server(_answer, settings.host, settings.port, reuse_port=True):
        await asked.wait()


async def _lock(settings: Settings) -> None:
    assert settings.mongo_uri
    client = connect(settings.mongo_uri.get_secret_value())
    with suppress(CollectionInvalid):
        await client.test.create_collection("locked")
    session = client.start_session()
    await session.start_transaction()
    await client.test.locked.insert_one({"_id": settings.process_id}, session=session)
    await Processes(client, settings.database, settings.process_id, 60).enter([session])


if __name__ == "__main__":
    if "worker" in sys.argv:
        if os.environ.get("FAKE_WORKER") == "stillborn":
            sys.exit(3)
        asyncio.run(_work())
    else:
        setup_logs("info", "json")
        sys.exit(asyncio.run(supervise(Settings(), _COMMAND)))
