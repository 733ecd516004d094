"""What intake takes at once, and what it refuses before it reads anything."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message

from services.webhooks.catalogue import Connection
from services.webhooks.connections import Connections
from services.webhooks.domain import Arrival
from services.webhooks.intake import Intake
from services.webhooks.reading import Reader
from services.webhooks.requests import BODY_LIMIT, Room
from services.webhooks.store import Recorded, Store
from shared.problems import Problem

SECRET = "geheim"


class Known(Connections):
    """One connection of GitHub's."""

    def __init__(self) -> None:
        pass

    async def find(self, name: str) -> Connection | None:
        """Is there."""
        return Connection(name, "main", "todo", "github", "", "", "", 1, (SECRET,), "")


class Slow(Store):
    """A store that writes once it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def record(self, arrivals: Sequence[Arrival]) -> list[Recorded]:
        """Waits."""
        await self.open.wait()
        return [Recorded(arrival.delivery.id if arrival.delivery else None) for arrival in arrivals]


class Sender:
    """One delivery, whose body is asked for or not."""

    def __init__(self, body: bytes = b'{"zen": ""}', *, declared: bool = True) -> None:
        self.body = body
        self.declared = declared
        self.asked = False
        self.status = 0
        self.retry_after = ""

    async def send_to(self, intake: Intake) -> int:
        """The status of its answer."""
        headers = {
            "x-github-event": "ping",
            "x-hub-signature-256": f"sha256={hmac.new(SECRET.encode(), self.body, hashlib.sha256).hexdigest()}",
        }
        if self.declared:
            headers["content-length"] = str(len(self.body))
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": "/hooks/gh",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        try:
            await intake("gh", scope, self._receive, self._note)
        except Problem as problem:
            self.status, self.retry_after = problem.status, problem.headers.get("Retry-After", "")
        return self.status

    async def _receive(self) -> Message:
        self.asked = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def _note(self, message: Message) -> None:
        self.status = message.get("status", self.status)


async def taken(intake: Intake, *senders: Sender) -> list[asyncio.Task[int]]:
    """Begins to take them; they wait for the store."""
    tasks = [asyncio.create_task(sender.send_to(intake)) for sender in senders]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


@pytest.fixture
def store() -> Slow:
    """A store that stands still."""
    return Slow()


async def test_what_finds_no_place_is_refused_before_it_is_read(store: Slow) -> None:
    """It does not wait for those that do; what they have comes free once they are answered."""
    intake = Intake(Known(), store, Reader(), Room(most=2))
    writing = asyncio.create_task(intake.run())
    waiting = await taken(intake, Sender(), Sender())
    third = Sender()
    assert await third.send_to(intake) == 503
    assert int(third.retry_after) > 0
    assert not third.asked
    store.open.set()
    assert await asyncio.gather(*waiting) == [200, 200]
    assert await Sender().send_to(intake) == 200
    writing.cancel()


async def test_a_body_counts_until_it_is_stored(store: Slow) -> None:
    """Not only while it arrives: it is in memory all the time."""
    intake = Intake(Known(), store, Reader(), Room(size=250))
    writing = asyncio.create_task(intake.run())
    body = b'{"zen": "' + b"x" * 90 + b'"}'
    waiting = await taken(intake, Sender(body), Sender(body))
    third = Sender(body)
    assert await third.send_to(intake) == 503
    assert not third.asked
    store.open.set()
    assert await asyncio.gather(*waiting) == [200, 200]
    assert await third.send_to(intake) == 200
    writing.cancel()


async def test_a_body_of_unknown_size_counts_as_the_largest_until_it_is_there(store: Slow) -> None:
    """Then as what it is."""
    intake = Intake(Known(), store, Reader(), Room(size=BODY_LIMIT + 100))
    writing = asyncio.create_task(intake.run())
    waiting = await taken(intake, Sender(declared=False), Sender(declared=False))
    store.open.set()
    assert await asyncio.gather(*waiting) == [200, 200]
    writing.cancel()


async def test_a_place_comes_free_whatever_becomes_of_its_request() -> None:
    """Also where it fails."""
    room = Room(most=1, size=10)
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"), room.taken(10):
            raise ValueError("bad")
