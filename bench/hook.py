"""A hook of GitHub's: signed pushes of 9 KB, from a payload that GitHub sent, and the connections that they are posted on."""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

REPOSITORY = "acme/intake"
_EXAMPLE = Path(__file__).resolve().parent.parent / "tests" / "data" / "github" / "push-branch-created.json"
_COMMITS = 3
"""That one push brings: with them the payload has 9 KB."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def _payload() -> tuple[str, str, str]:
    """The payload as GitHub writes it, and the ref and the commit in it that each push replaces."""
    payload = json.loads(_EXAMPLE.read_text())
    payload["commits"] *= _COMMITS
    text = json.dumps(payload, separators=(",", ":")).replace(payload["repository"]["full_name"], REPOSITORY)
    return text, payload["ref"], payload["after"]


@dataclass
class Hook:
    """The hook of one connection."""

    connection: str
    secret: str
    _payload: tuple[str, str, str] = field(default_factory=_payload, init=False)

    def push(self, key: str) -> bytes:
        """A request that says that one of 256 branches stands at a new commit; `key` is the delivery's id."""
        text, ref, former = self._payload
        commit = secrets.token_hex(20)
        body = text.replace(former, commit).replace(ref, f"refs/heads/b{commit[:2]}").encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST /hooks/{self.connection} HTTP/1.1\r\nHost: slipway\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: {key}\r\n"
            f"X-GitHub-Hook-ID: 1\r\nX-Hub-Signature-256: sha256={signature}\r\n\r\n"
        )
        return head.encode() + body


class Line(asyncio.Protocol):
    """One connection that is kept alive: a request, its answer, the next request."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[str] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, port: int) -> "Line":
        """To a server on this machine."""
        _, line = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return line

    async def post(self, request: bytes) -> str:
        """The head of the answer, once all of it is there; raises `OSError` or `EOFError` where none comes."""
        if self._transport is None:
            raise EOFError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Ends it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A part of an answer."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if not end or (length is not None and len(body) < int(length[1])):
            return
        self._received = b""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(head.decode("latin-1"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It was closed: whoever waits hears of it."""
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or EOFError())
