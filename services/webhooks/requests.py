"""HTTP requests as raw ASGI gives them: bodies within limits, headers in lower case, answers."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from shared.problems import Problem

BODY_LIMIT = 25 * 1024 * 1024
"""GitHub's own limit."""
SLOWEST_S = 30.0


class ClientLeft(Exception):
    """The connection was closed before the request was complete; nobody reads an answer."""


class Room:
    """How much memory all bodies may take together."""

    def __init__(self, limit: int = 256 * 1024 * 1024) -> None:
        self._free = limit

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Holds a part of it; raises a 503 problem where there is not enough."""
        if size > self._free:
            raise busy("Too many large deliveries are being read at once.")
        self._free -= size
        try:
            yield
        finally:
            self._free += size


def busy(detail: str) -> Problem:
    """The problem that asks the sender to come again."""
    return Problem(503, "try-again", f"{detail} Nothing was stored; deliver again.", headers={"Retry-After": "15"})


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers, names in lower case; of one that comes twice, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: Mapping[str, str], room: Room) -> bytes:
    """The whole body; raises problems 413, 408 and 503, and `ClientLeft`."""
    declared = headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else BODY_LIMIT
    if size > BODY_LIMIT:
        raise _too_large()
    with room.taken(size):
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


async def answer(scope: Scope, receive: Receive, send: Send, status: int, content: Mapping[str, object]) -> None:
    """Answers with JSON."""
    await JSONResponse(dict(content), status_code=status)(scope, receive, send)
