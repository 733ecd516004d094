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
IDLE_S = 5.0
"""How long nothing of a body may arrive."""
OPEN_MOST = 256
"""Deliveries that are taken at once: no more than are stored while a forge waits for its answer, even on a machine that has little time."""
SMALL = 1024 * 1024
SMALL_MOST = 64 * 1024 * 1024
"""Bytes of bodies up to `SMALL`, nearly all there are, that are held at once: counted as they arrive."""
LARGE_MOST = 128 * 1024 * 1024
"""The same for larger ones, counted before they arrive; on its way into the database each is in memory about three times."""


class ClientLeft(Exception):
    """The connection was closed before the request was complete; nobody reads an answer."""


class Room:
    """How many deliveries may be open together, and how much memory their bodies may take.

    What finds no room is refused at once and is not read further: if it waited, it would wait where nobody counts, in front of the
    door. Whoever sends headers and no body takes nothing that small deliveries need: before its signature is seen, anybody may.
    """

    def __init__(self, most: int = OPEN_MOST, small: int = SMALL_MOST, large: int = LARGE_MOST) -> None:
        self.most = most
        self.places = most
        self.small = small
        self.large = large

    @property
    def taken(self) -> int:
        """How many are open: whose body is there, and whose answer is not."""
        return self.most - self.places

    @contextmanager
    def opened(self, size: int | None) -> Iterator["Place"]:
        """Room for one request whose body says to have that size, until it is answered; raises a 503 problem where there is none."""
        if self.places == 0:
            raise _no_room()
        place = Place(self)
        try:
            if size is not None and size > SMALL:
                place.expect(size)
            yield place
        finally:
            place.leave()


class Place:
    """What one request has of the room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._arrived = 0
        self._small = 0
        self._large = 0
        self._complete = False

    def expect(self, size: int) -> None:
        """Keeps memory for a large body; raises a 503 problem."""
        if size > self._room.large:
            raise _no_room()
        self._room.large -= size
        self._large = size

    def grow(self, size: int) -> None:
        """So many bytes more have arrived; raises the problems 413 and 503."""
        self._arrived += size
        if self._arrived > BODY_LIMIT:
            raise too_large()
        if self._large:
            return
        if self._arrived > SMALL:
            self.expect(BODY_LIMIT)
            self._room.small += self._small
            self._small = 0
            return
        if size > self._room.small:
            raise _no_room()
        self._room.small -= size
        self._small += size

    def complete(self) -> None:
        """All is there, and is no larger than what arrived. It is one of those that are open now; raises a 503 problem."""
        if self._room.places == 0:
            raise _no_room()
        self._room.places -= 1
        self._complete = True
        if self._large:
            self._room.large += self._large - self._arrived
            self._large = self._arrived

    def leave(self) -> None:
        """Others may have it."""
        self._room.small += self._small
        self._room.large += self._large
        self._room.places += self._complete


def _no_room() -> Problem:
    return busy("More deliveries arrive than can be taken.")


def busy(detail: str) -> Problem:
    """The problem that asks the sender to come again."""
    return Problem(503, "try-again", f"{detail} Nothing was stored; deliver again.", headers={"Retry-After": "15"})


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers, names in lower case; of one that comes twice, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def size_of(headers: Mapping[str, str]) -> int | None:
    """How large the body is, by what the sender says; raises a 413 problem."""
    declared = headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else None
    if size is not None and size > BODY_LIMIT:
        raise too_large()
    return size


async def read_body(receive: Receive, place: Place) -> bytes:
    """The whole body, for which there is room; raises the problems 413, 408 and 503, and `ClientLeft`."""
    now = asyncio.get_running_loop().time
    end = now() + SLOWEST_S
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(IDLE_S) as limit:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                if part := message.get("body", b""):
                    place.grow(len(part))
                    parts.append(part)
                if not message.get("more_body", False):
                    place.complete()
                    return b"".join(parts)
                if part:
                    limit.reschedule(min(end, now() + IDLE_S))
    except TimeoutError:
        raise Problem(
            408, "too-slow", f"Nothing of the body arrived for {IDLE_S:.0f} seconds, or not all within {SLOWEST_S:.0f}."
        ) from None


def too_large() -> Problem:
    """The problem of a body that no forge sends."""
    return Problem(413, "body-too-large", f"The body is larger than {BODY_LIMIT // 1024**2} MB, which is what GitHub sends at most.")


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


async def answer(send: Send, status: int, content: Mapping[str, object]) -> None:
    """Answers with JSON."""
    body = _json(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
