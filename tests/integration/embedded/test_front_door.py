"""The front door on a real Traefik, with deliveries that cannot be taken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from shared.listening import listening
from tests.integration.cli.front_door import traefik
from tests.polling import eventually
from tests.stack import free_port

MOST = 5


class Webhooks:
    """Takes requests, and answers them once it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.came = 0
        self.answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                self.came += 1
                await self.open.wait()
                writer.write(self.answer)


@pytest.fixture
async def webhooks() -> Webhooks:
    """Made in the test's event loop."""
    return Webhooks()


@pytest.fixture
async def door(webhooks: Webhooks, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the front door, behind which webhooks stands still and nobody else is."""
    async with listening(webhooks) as port:
        async with _client(tmp_path, f"127.0.0.1:{port}") as client:
            yield client
        webhooks.open.set()


@asynccontextmanager
async def _client(folder: Path, webhooks: str) -> AsyncIterator[httpx.AsyncClient]:
    with traefik(folder, webhooks, f"127.0.0.1:{free_port()}", MOST) as url:
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:

            async def routes() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 502
                except httpx.TransportError:
                    return False

            await eventually(routes, within=20)
            yield client


async def test_deliveries_beyond_the_limit_are_answered_503_with_retry_after(door: httpx.AsyncClient, webhooks: Webhooks) -> None:
    """Whatever host they name; and once there is room they are taken again. Pushes to the git remote do not count."""
    waiting = [asyncio.create_task(door.post("/hooks/gh", headers={"Host": f"host-{number}"})) for number in range(MOST)]

    async def all_there() -> bool:
        return webhooks.came == MOST

    await eventually(all_there)
    refused = await door.post("/hooks/gh", headers={"Host": "another"}, content=b"x" * 9000)
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
    pushing = asyncio.create_task(door.post("/git/main/todo.git/git-receive-pack"))

    async def one_more() -> bool:
        return webhooks.came == MOST + 1

    await eventually(one_more)
    webhooks.open.set()
    assert {answer.status_code for answer in [*await asyncio.gather(*waiting), await pushing]} == {202}
    taken = await door.post("/hooks/gh")
    assert (taken.status_code, "retry-after" in taken.headers) == (202, False)


async def test_what_webhooks_refuses_by_itself_arrives_as_it_said_it(door: httpx.AsyncClient, webhooks: Webhooks) -> None:
    """With its own words and its own time."""
    webhooks.answer = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    webhooks.open.set()
    refused = await door.post("/hooks/gh")
    assert (refused.status_code, refused.headers["retry-after"], refused.text) == (503, "7", "busy")


async def test_while_webhooks_is_away_deliveries_are_answered_503_with_retry_after(tmp_path: Path) -> None:
    """A restart of webhooks is no other failure to a forge than too many deliveries."""
    async with _client(tmp_path, f"127.0.0.1:{free_port()}") as client:
        away = await client.post("/hooks/gh")
        assert (away.status_code, int(away.headers["retry-after"]) > 0) == (503, True)
        assert (await client.get("/git/main/todo.git/info/refs")).status_code == 502
