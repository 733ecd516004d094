"""The end of listening to the bus, at an unlucky moment."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import cast

from nats.aio.client import Client
from nats.aio.msg import Msg

from services.webhooks.git.pipeline import AHEAD, Pipeline
from shared.bus import Bus
from shared.contracts.events import ChangeIgnored, ChangeTaken, Event
from shared.contracts.logs import LogLines


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


class Talkative:
    """A bus with one event, of a deployment whose log has no end; it counts what was read of the log."""

    def __init__(self, event: Event) -> None:
        self.stats = {"reconnects": 0}
        self.event = event
        self.read = 0

    async def subscribe(self, _subject: str, cb: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """There is no news."""
        del cb
        return Subscription()

    async def request(self, subject: str, payload: bytes, timeout: float) -> Msg:
        """Answers at once, but for events after the first."""
        if subject.startswith("$JS.API.STREAM.INFO."):
            return Msg(_client=cast("Client", None), data=b'{"ts": "2026-01-01T00:00:00.123456789Z"}')
        await asyncio.sleep(0)
        if subject.endswith(".LOGS"):
            self.read += 1
            number = json.loads(payload).get("seq", 1)
            lines = LogLines(deployment="one", step="build-web", attempt=1, first=number, lines=(f"line {number}",))
            return self._message(lines.encode(), number)
        if "seq" in json.loads(payload):
            await asyncio.sleep(timeout)
        return self._message(self.event.encode(), 1)

    def _message(self, data: bytes, number: int) -> Msg:
        headers = {"Nats-Sequence": str(number), "Nats-Time-Stamp": "now"}
        return Msg(_client=cast("Client", None), data=data, headers=headers)


class LongLog(Bus):
    """The same, as the services see it."""

    def __init__(self, event: Event) -> None:
        self.nc = cast("Client", Talkative(event))


async def test_a_pusher_that_does_not_read_gathers_no_log() -> None:
    """What they have not read stays in the stream, and others are told meanwhile."""
    bus = LongLog(Event.of(ChangeTaken(change="c1", deployments=("one",), ref="refs/heads/main", commit="a" * 40), "main", "todo"))
    connection = cast("Talkative", bus.nc)
    pipeline, gone = Pipeline(bus), asyncio.Event()
    slow, fast = (pipeline.tell("main", "todo", {"c1": "main"}, gone) for _ in range(2))
    async with asyncio.timeout(30):
        assert (await anext(slow)).endswith("line 1")
        for _ in range(20 * AHEAD):
            await asyncio.sleep(0)
        assert connection.read <= AHEAD + 5
        heard = [await anext(fast) for _ in range(2 * AHEAD)]
        assert heard[-1].endswith(f"line {2 * AHEAD}")
        assert (await anext(slow)).endswith("line 2")
        gone.set()
        assert [line for each in (slow, fast) async for line in each] == []
