"""What the intake is measured beside, in a process of its own: `publish_only` verifies and publishes, `bare` reads and answers.

It prints its port and serves until it is ended.
"""

import asyncio
import hashlib
import hmac
import sys

import nats
import uvloop
from nats.js import JetStreamContext
from starlette.types import Receive, Scope, Send

from shared.health import serve

STREAM = "INTAKE"
_ACCEPTED = (b'{"status": "stored"}', [(b"content-type", b"application/json"), (b"content-length", b"20")])


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _answer(send: Send, status: int) -> None:
    body, headers = _ACCEPTED
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def bare(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body and answers."""
    await _body(receive)
    await _answer(send, 202)


class Publishing:
    """Verifies the signature, publishes the body under the delivery's id, and answers when JetStream has acknowledged it."""

    def __init__(self, js: JetStreamContext, secret: str) -> None:
        self._js = js
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 202, or 401."""
        headers = dict(scope["headers"])
        body = await _body(receive)
        expected = f"sha256={hmac.new(self._secret, body, hashlib.sha256).hexdigest()}".encode()
        if not hmac.compare_digest(expected, headers[b"x-hub-signature-256"]):
            await _answer(send, 401)
            return
        await self._js.publish("intake.push", body, headers={"Nats-Msg-Id": headers[b"x-github-delivery"].decode()})
        await _answer(send, 202)


async def main(side: str, url: str, secret: str) -> None:
    """Serves for ever."""
    client = await nats.connect(url, user="admin", password="test")
    app = Publishing(client.jetstream(timeout=5), secret) if side == "publish_only" else bare
    async with serve(app, "127.0.0.1", 0, proxied=False) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:4]))
