"""The end of listening to the bus, at an unlucky moment."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.webhooks.git.pipeline import Pipeline
from shared.bus import Bus
from shared.contracts.events import ChangeIgnored, Event


class Subscription:
    """Of the news."""

    async def unsubscribe(self) -> None:
        """Ends it."""


class Connection:
    """A bus that has one event, and whose second answer comes when it is let go. It waits as nats-py does."""

    def __init__(self, event: Event) -> None:
        self.event = Msg(_client=cast("Client", None), data=event.encode(), headers={"Nats-Sequence": "1", "Nats-Time-Stamp": "now"})
        self.second: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self.asked = 0
        self.stats = {"reconnects": 0}

    async def subscribe(self, _subject: str, cb: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """There is no news."""
        del cb
        return Subscription()

    async def request(self, subject: str, _payload: bytes, timeout: float) -> Msg:
        """The answers; what the time is, it says at once."""
        if subject.startswith("$JS.API.STREAM.INFO."):
            return Msg(_client=cast("Client", None), data=b'{"ts": "2026-01-01T00:00:00.123456789Z"}')
        self.asked += 1
        if self.asked == 1:
            return self.event
        if self.asked == 2:
            return await asyncio.wait_for(self.second, timeout)
        return await asyncio.wait_for(asyncio.get_running_loop().create_future(), 3600)


class OneEvent(Bus):
    """The same, as the services see it."""

    def __init__(self, event: Event) -> None:
        self.nc = cast("Client", Connection(event))


async def test_telling_ends_though_an_answer_comes_at_that_very_moment() -> None:
    """`asyncio.wait_for` forgets that it was cancelled then, and the pusher would wait for the end of a story that was told."""
    fact = ChangeIgnored(change="c1", reason="frozen", ref="refs/heads/main", commit="a" * 40)
    bus = OneEvent(Event.of(fact, "main", "todo"))
    connection = cast("Connection", bus.nc)
    told = []
    async with asyncio.timeout(5):
        async for line in Pipeline(bus).tell("main", "todo", {"c1": "main"}, asyncio.Event()):
            told.append(line)
            while connection.asked < 2:
                await asyncio.sleep(0)
            connection.second.set_result(connection.event)
    assert told == ["  main: nothing to deploy, frozen"]
