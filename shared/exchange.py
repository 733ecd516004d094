"""One HTTP request and its answer, in the order that proxies need: first all of the request, then the answer."""

from starlette.types import Message, Receive, Scope, Send

DISCARDED_MOST = 32 * 1024 * 1024
"""Of a body that nobody wants to read, in bytes; a longer one may see its connection cut instead of the answer."""

_ANNOUNCES_A_BODY = (b"content-length", b"transfer-encoding")
"""RFC 9112, 6.3: a request with neither has none."""


class Exchange:
    """Reads what is left of the request's body before the answer begins. Whoever answers does not read at the same time.

    A proxy written with Go's net/http (Traefik) throws away what it has not read yet of a body as soon as the answer begins
    (https://pkg.go.dev/net/http#ResponseController.EnableFullDuplex), and then cuts the connection because the body is too
    short: the client sees a torn answer. On a busy machine an answer overtakes even a body of 500 bytes.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._whole = not any(name.lower() in _ANNOUNCES_A_BODY for name, _ in scope["headers"])
        self.answered = False
        """Whether the answer has begun."""

    async def receive(self) -> Message:
        """The next part of the request, or word that the client has left."""
        message = await self._receive()
        self._whole = self._whole or message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the answer."""
        discarded = 0
        while not self.answered and not self._whole and discarded <= DISCARDED_MOST:
            discarded += len((await self.receive()).get("body", b""))
        self.answered = True
        await self._send(message)
