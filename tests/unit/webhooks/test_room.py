"""What intake takes at once, and what it refuses before it reads anything."""

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import Message

from services.webhooks import requests
from services.webhooks.catalogue import Connection
from services.webhooks.connections import Connections
from services.webhooks.domain import Delivery
from services.webhooks.forges.document import Headers
from services.webhooks.forges.port import Reading
from services.webhooks.intake import Intake
from services.webhooks.judging import Judging
from services.webhooks.reading import Reader
from services.webhooks.requests import BODY_LIMIT, SMALL, Room
from services.webhooks.store import Store
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

    async def keep(self, deliveries: Sequence[Delivery]) -> list[str]:
        """Waits."""
        await self.open.wait()
        return [delivery.id for delivery in deliveries]


class Quick(Reader):
    """Starts no program for what is large."""

    async def read(self, _forge: str, _headers: Headers, _body: bytes, _patience_s: float = 0.0) -> Reading:
        """Nothing of interest."""
        return Reading(ignored="pong")


class Sender:
    """One delivery, whose body is asked for or not."""

    def __init__(self, body: bytes = b'{"zen": ""}', *, declared: int | None = None) -> None:
        self.parts = [body]
        self.declared = len(body) if declared is None else declared
        self.signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        self.asked = False
        self.status = 0
        self.retry_after = ""

    async def send_to(self, intake: Intake) -> int:
        """The status of its answer."""
        headers = {"x-github-event": "ping", "x-hub-signature-256": f"sha256={self.signature}"}
        if self.declared >= 0:
            headers["content-length"] = str(self.declared)
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
        if not self.parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def _note(self, message: Message) -> None:
        self.status = message.get("status", self.status)


class Silent(Sender):
    """Says how much will come, and sends nothing."""

    def __init__(self, declared: int) -> None:
        super().__init__(declared=declared)
        self.parts = []


def _intake(store: Slow, room: Room) -> Intake:
    connections, reader = Known(), Quick()
    return Intake(connections, store, reader, room, Judging(store, reader))


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
    intake = _intake(store, Room(most=2))
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


@pytest.mark.parametrize(("room", "size"), [({"small": 250}, 100), ({"large": 5 * SMALL}, 2 * SMALL)], ids=["small", "large"])
async def test_a_body_counts_until_it_is_stored(store: Slow, room: dict[str, int], size: int) -> None:
    """Not only while it arrives: it is in memory all the time."""
    intake = _intake(store, Room(**room))
    writing = asyncio.create_task(intake.run())
    body = b'{"zen": "' + b"x" * size + b'"}'
    waiting = await taken(intake, Sender(body), Sender(body))
    third = Sender(body)
    assert await third.send_to(intake) == 503
    store.open.set()
    assert await asyncio.gather(*waiting) == [200, 200]
    assert await Sender(body).send_to(intake) == 200
    writing.cancel()


async def test_a_large_body_that_finds_no_memory_is_refused_before_it_is_read(store: Slow) -> None:
    """Its size is believed; of the other, which does not say its own, when it turns out to be large."""
    intake = _intake(store, Room(large=BODY_LIMIT - 1))
    declared, other = Sender(declared=BODY_LIMIT), Sender(b"x" * (SMALL + 1), declared=-1)
    assert await declared.send_to(intake) == await other.send_to(intake) == 503
    assert (declared.asked, other.asked) == (False, True)


async def test_who_sends_no_body_keeps_nobody_out(store: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says will come; after a while it is sent away, and what was kept for it is free."""
    monkeypatch.setattr(requests, "IDLE_S", 0.2)
    store.open.set()
    intake = _intake(store, Room(most=1, large=2 * BODY_LIMIT))
    writing = asyncio.create_task(intake.run())
    silent = await taken(intake, *(Silent(size) for size in (BODY_LIMIT, BODY_LIMIT, 100, 100, -1)))
    assert await Sender(declared=BODY_LIMIT).send_to(intake) == 503
    assert await Sender().send_to(intake) == 200
    assert await asyncio.gather(*silent) == [408] * len(silent)
    assert await Sender(b'{"zen": "' + b"x" * 2 * SMALL + b'"}').send_to(intake) == 200
    writing.cancel()


async def test_a_place_comes_free_whatever_becomes_of_its_request() -> None:
    """Also where it fails."""
    room = Room(most=1, small=10, large=2 * SMALL)
    for size in (10, 10, 2 * SMALL, 2 * SMALL):
        with suppress(ValueError), room.opened(size) as place:
            place.grow(size)
            place.complete()
            raise ValueError("bad")
    assert (room.places, room.small, room.large) == (1, 10, 2 * SMALL)
