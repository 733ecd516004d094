"""A connect to NATS that does not come about leaves no socket behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.bus import Bus
from shared.listening import listening
from shared.participant import Participant
from shared.settings import ServiceSettings
from tests.polling import eventually
from tests.stack import service_settings


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, list[bool]]]:
    """A server that takes connections and never says a word; for each connection, whether its client has closed it."""
    closed: list[bool] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(closed)
        closed.append(False)
        try:
            await reader.read()
        finally:
            closed[number] = True

    async with listening(take) as port:
        yield f"nats://127.0.0.1:{port}", closed


async def _bus(url: str, nats_url: str) -> None:
    await Bus.connect(service_settings(ServiceSettings, "builder", url), "builder")


async def _participant(url: str, nats_url: str) -> None:
    bus = await Bus.connect(service_settings(ServiceSettings, "builder", nats_url), "builder")
    try:
        await Participant("builder", service_settings(ServiceSettings, "builder", url), bus, {}).run()
    finally:
        await bus.close()


@pytest.mark.parametrize("connect", [_bus, _participant])
async def test_who_gives_up_connecting_closes_the_socket(nats_url: str, connect: Callable[[str, str], Awaitable[None]]) -> None:
    """The connect is cancelled while the server keeps silent."""
    async with silent_server() as (url, closed):
        connecting = asyncio.ensure_future(connect(url, nats_url))

        async def taken() -> bool:
            return bool(closed)

        await eventually(taken)
        assert closed == [False]

        async def given_up() -> bool:
            connecting.cancel()  # asyncio.wait_for of Python 3.11 loses one that comes in the moment in which the connection is made
            return connecting.done()

        await eventually(given_up)
        assert connecting.cancelled()

        async def all_closed() -> bool:
            return all(closed)

        await eventually(all_closed, within=30)
