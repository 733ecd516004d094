"""HTTP requests and their answers in the order that proxies need: first all of the request, then the answer."""

import asyncio
from contextlib import suppress
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

DISCARDED_MOST = 32 * 1024 * 1024
"""Of a body that nobody wants to read, in bytes; a longer one may see its connection cut instead of the answer."""
DISCARDING_MOST_S = 5.0
"""How long a body that nobody wants may take to arrive; then, too: whoever stops sending must not keep a connection for ever."""

PAUSE_S = 0.02
"""Between the end of a body and the answer: a proxy notices the end a moment after it has passed the last byte on."""
_ANNOUNCES_A_BODY = (b"content-length", b"transfer-encoding")
"""RFC 9112, 6.3: a request with neither has none."""


class ReadFirst:
    """ASGI middleware, around all others: reads what is left of a request's body before the answer begins.

    The application does not read on when it answers, nor begin to answer while another task of its reads.

    A proxy written with Go's net/http (Traefik) throws away what it has not read yet of a body, its end included, as soon as the
    answer begins, and then cuts the connection because the body is too short: the client sees a torn answer. On a busy machine
    an answer overtakes even a body of 500 bytes. https://github.com/golang/go/issues/40747
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; other things than requests pass through."""
        if scope["type"] == "http":
            exchange = _Exchange(scope, receive, send)
            receive, send = exchange.receive, exchange.send
        await self._app(scope, receive, send)


class _Exchange:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._whole = not any(name.lower() in _ANNOUNCES_A_BODY for name, _ in scope["headers"])
        self._whole_at = 0.0
        self._answered = False

    async def receive(self) -> Message:
        """The next part of the request, or word that the client has left."""
        message = await self._receive()
        if not self._whole and not message.get("more_body", False):
            self._whole, self._whole_at = True, monotonic()
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the answer."""
        if not self._answered:
            await self._let_the_request_end()
            self._answered = True
        await self._send(message)

    async def _let_the_request_end(self) -> None:
        if not self._whole:
            await self._discard()
        pause = self._whole_at + PAUSE_S - monotonic()
        if pause > 0:
            await asyncio.sleep(pause)

    async def _discard(self) -> None:
        discarded = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARDING_MOST_S):
                while not self._whole and discarded <= DISCARDED_MOST:
                    discarded += len((await self.receive()).get("body", b""))
