"""A pusher's story goes on, whatever the bus forgets: its reader notices, and begins anew with what is sent again."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import nats
import pytest
from nats.js import JetStreamContext

from services.webhooks.git.streams import follow
from shared import topology
from shared.bus import Bus
from shared.settings import ServiceSettings
from tests.polling import eventually
from tests.stack import NatsServer, nats_server, service_settings

SUBJECT = "slipway.evt.main.todo.production.deployment.queued"


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server that a test may kill."""
    with nats_server() as running:
        yield running


@asynccontextmanager
async def _admin(server: NatsServer) -> AsyncIterator[JetStreamContext]:
    client = await nats.connect(server.url, user="admin", password="test")
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def _publish(js: JetStreamContext, *bodies: bytes) -> None:
    for body in bodies:
        await js.publish(SUBJECT, body)


@asynccontextmanager
async def _following(server: NatsServer) -> AsyncIterator[list[bytes]]:
    """What webhooks has read so far."""
    bus = await Bus.connect(service_settings(ServiceSettings, "webhooks", server.url), "webhooks")
    read: list[bytes] = []

    async def reading() -> None:
        async for message in follow(bus, "EVENTS", "slipway.evt.main.todo.>", time.monotonic()):
            read.append(message.data)  # noqa: PERF401 -- it does not end

    task = asyncio.create_task(reading())
    try:
        yield read
    finally:
        while not task.done():  # `asyncio.wait_for` (in the bus's client) may forget that it was cancelled
            task.cancel()
            await asyncio.wait([task], timeout=0.5)
        await bus.close()


async def _is_read(read: list[bytes], *bodies: bytes) -> None:
    async def there() -> bool:
        return read == list(bodies)

    await eventually(there, within=20)


@pytest.mark.parametrize("again", [(b"1", b"2"), (b"1", b"2", b"3", b"4", b"5")])
async def test_a_server_that_lost_its_store(server: NatsServer, again: tuple[bytes, ...]) -> None:
    """Fewer messages than were read, or more: all are read, from the first on."""
    async with _admin(server) as js:
        await topology.declare(js)
        await _publish(js, b"1", b"2", b"3")
    async with _following(server) as read:
        await _is_read(read, b"1", b"2", b"3")
        server.kill()
        shutil.rmtree(server.folder / "jetstream")
        server.start()
        async with _admin(server) as js:
            await topology.declare(js)
            await _publish(js, *again)
        await _is_read(read, b"1", b"2", b"3", *again)


async def test_a_stream_that_was_made_anew(server: NatsServer) -> None:
    """Without that the connection broke."""
    async with _admin(server) as js:
        await topology.declare(js)
        await _publish(js, b"1", b"2", b"3")
        async with _following(server) as read:
            await _is_read(read, b"1", b"2", b"3")
            await js.delete_stream("EVENTS")
            await topology.declare(js)
            await _publish(js, b"4")
            await _is_read(read, b"1", b"2", b"3", b"4")
