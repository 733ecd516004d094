"""HTTP requests as raw ASGI gives them: bodies within limits, headers in lower case, answers."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send

from shared.problems import Problem

BODY_LIMIT = 25 * 1024 * 1024
"""GitHub's own limit."""
SLOWEST_S = 30.0
OPEN_MOST = 256
"""Deliveries that are taken at once: no more than are stored while a forge waits for its answer, even on a machine that has little time."""
HELD_MOST = 128 * 1024 * 1024
"""Bytes of bodies that are held at once; on its way into the database each is in memory about three times."""


class ClientLeft(Exception):
    """The connection was closed before the request was complete; nobody reads an answer."""


class Room:
    """How many deliveries may be open together, and how much memory their bodies may take.

    What finds no room is refused at once and is not read: if it waited, it would wait where nobody counts, in front of the door.
    """

    def __init__(self, most: int = OPEN_MOST, size: int = HELD_MOST) -> None:
        self._places = most
        self._free = size

    @contextmanager
    def taken(self, size: int) -> Iterator["Place"]:
        """One place, and `size` bytes of memory, until the request is answered; raises a 503 problem where there is not enough."""
        if self._places == 0 or size > self._free:
            raise busy("More deliveries arrive than can be taken.")
        place = Place(self, size)
        self._places -= 1
        self._free -= size
        try:
            yield place
        finally:
            self._free += place.size
            self._places += 1

    def give_back(self, size: int) -> None:
        """Memory that is not needed after all."""
        self._free += size


class Place:
    """What one request has of the room."""

    def __init__(self, room: Room, size: int) -> None:
        self._room = room
        self.size = size

    def keep(self, size: int) -> None:
        """The body is there and has this size: the rest is free for others."""
        self._room.give_back(self.size - size)
        self.size = size


def busy(detail: str) -> Problem:
    """The problem that asks the sender to come again."""
    return Problem(503, "try-again", f"{detail} Nothing was stored; deliver again.", headers={"Retry-After": "15"})


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers, names in lower case; of one that comes twice, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def size_of(headers: Mapping[str, str]) -> int:
    """How large the body may be at most (bytes), by what the sender says; raises a 413 problem."""
    declared = headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else BODY_LIMIT
    if size > BODY_LIMIT:
        raise _too_large()
    return size


async def read_body(receive: Receive) -> bytes:
    """The whole body; raises problems 413 and 408, and `ClientLeft`."""
    try:
        async with asyncio.timeout(SLOWEST_S):
            return await _read(receive)
    except TimeoutError:
        raise Problem(408, "too-slow", f"The body did not arrive within {SLOWEST_S:.0f} seconds.") from None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > BODY_LIMIT:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"The body is larger than {BODY_LIMIT // 1024**2} MB, which is what GitHub sends at most.")


async def answer(send: Send, status: int, content: Mapping[str, object]) -> None:
    """Answers with JSON."""
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
