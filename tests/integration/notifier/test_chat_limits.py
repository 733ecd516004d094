"""What an address or a server of a chat cannot make of notifier: read files, call others, fill its memory, keep its threads."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.responses import Response

from services.notifier.channels import Channel
from services.notifier.providers import chat
from services.notifier.providers.chat import ChatProvider
from services.notifier.providers.contract import Notification, Outcome, Verdict
from shared.contracts.events import DeploymentSucceeded, Event
from shared.guarded_http import guarded_client
from shared.listening import listening
from shared.outbound import Reach
from tests.integration.notifier.receivers import receiver
from tests.polling import eventually

# apprise imports it, for Python versions that have it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

EVERYWHERE = Reach("x", everywhere=True)


async def _told(url: str, reach: Reach = EVERYWHERE) -> Verdict:
    channel = Channel("main", "chat", "", "chat", "", "", "", (), 1, url, "")
    event = Event.of(DeploymentSucceeded(), "main", "todo", "production", deployment="d1")
    async with guarded_client(reach) as client:
        return await ChatProvider(client).deliver(Notification("n", event, "coordinator", None), channel)


@asynccontextmanager
async def _server(answer: Callable[[asyncio.StreamWriter], object], pause_s: float) -> AsyncIterator[tuple[str, list[int], asyncio.Event]]:
    """Answers every request so, for ever; how often it did, and whether the caller has hung up."""
    sent, left = [0], asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 no\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while not writer.is_closing():
                answer(writer)
                await writer.drain()
                sent[0] += 1
                await asyncio.sleep(pause_s)
        finally:
            left.set()

    async with listening(serve) as port:
        yield f"127.0.0.1:{port}", sent, left


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("workflow://127.0.0.1/abcdefabcdef/abcdefabcdefabcdef?template=file:///etc/hostname", "template="),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ?Template=http://127.0.0.1/latest/meta-data", "template="),
        ("ntfy://127.0.0.1/topic?redirect=yes", "redirect="),
        ("mailto://127.0.0.1?from=a@example.test&to=b@example.test&pgp=yes&pgpkey=/etc/hostname", "pgp= and pgpkey="),
    ],
)
async def test_what_would_lead_elsewhere_is_to_be_taken_out(url: str, name: str) -> None:
    """The reason says what."""
    verdict = await _told(url)
    assert verdict.outcome is Outcome.HOPELESS
    assert f"Take {name} out of the address" in verdict.error


async def test_a_redirect_is_not_followed() -> None:
    """Wherever it leads."""
    async with receiver() as outer, receiver() as inner:
        outer.answers = [Response(status_code=307, headers={"location": f"{inner.url}/internal"})]
        verdict = await _told(f"ntfy://{outer.url.removeprefix('http://')}/topic")
        assert (verdict.outcome, len(outer.calls), inner.calls) == (Outcome.RETRY, 1, [])


async def test_each_request_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the first, to the server that the address names: some servers say where to go on."""
    monkeypatch.setattr(chat, "_server", lambda _: ("localhost", 80))
    async with receiver() as inner:
        verdict = await _told(f"ntfy://{inner.url.removeprefix('http://')}/topic", Reach("Do not", private=("localhost",)))
        assert (verdict.outcome, inner.calls) == (Outcome.HOPELESS, [])
    assert "no public address" in verdict.error


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    """Whoever sends for ever is left after a megabyte, long before the time is up."""
    async with _server(lambda writer: writer.write(bytes(1024 * 1024)), 0) as (host, sent, left):
        async with asyncio.timeout(10):
            assert (await _told(f"ntfy://{host}/topic")).outcome is Outcome.RETRY
            await left.wait()
    assert sent[0] < 30


async def test_a_slow_answer_keeps_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends a byte now and then keeps neither the attempt nor its thread, and others are told meanwhile."""
    await _told("ntfy://127.0.0.1/topic?redirect=yes")  # apprise is loaded
    monkeypatch.setattr(chat, "LIMIT_S", 3.0)
    async with receiver() as quick, _server(lambda writer: writer.write(b"x"), 0.2) as (host, _, left):
        slow = [asyncio.create_task(_told(f"ntfy://{host}/topic")) for _ in range(40)]
        quick.answers = [Response("{}", 200)]
        assert (await _told(f"ntfy://{quick.url.removeprefix('http://')}/topic")).outcome is Outcome.DELIVERED
        assert {verdict.error for verdict in await asyncio.gather(*slow)} == {"ntfy did not answer within 3 s"}
        await asyncio.wait_for(left.wait(), 10)

        async def ended() -> bool:
            return not [thread for thread in threading.enumerate() if thread.name == "chat"]

        await eventually(ended, within=10)
