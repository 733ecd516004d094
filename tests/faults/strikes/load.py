"""Steady requests to every application, through load balancer and TLS: what was asked, what failed, which rows were acknowledged."""

import asyncio
import secrets
import ssl
import time
from dataclasses import dataclass, field

from bench.load import Connection

RATE = 8.0
"""Requests a second to one application; one in eight writes a row where it keeps rows."""
LIMIT_S = 20.0
_NO_ANSWER = (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Failed:
    """One request without a good answer."""

    at: float
    """By the monotonic clock, when it was sent."""
    host: str
    why: str
    failed_at: float
    """By the same clock."""


@dataclass(frozen=True)
class Outage:
    """A time in which the requests to a host may fail, by the monotonic clock."""

    host: str
    began: float
    ended: float

    def excuses(self, failed: Failed) -> bool:
        """Whether the request was under way in it."""
        return failed.host == self.host and failed.at <= self.ended and failed.failed_at >= self.began


class NotGood(ValueError):
    """An answer with another status than 200."""

    def __init__(self, status: str, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass
class Load:
    """The requests of one application's people."""

    host: str
    port: int
    authority: str
    writes: bool
    requests: int = 0
    failed: list[Failed] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    """Rows of which the application said that it has them."""
    _idle: list[Connection] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._context = ssl.create_default_context(cafile=self.authority)

    async def run(self) -> None:
        """For ever, at the same rate whatever the answers take."""
        began, number = time.monotonic(), 0
        while True:
            number += 1
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
            task = asyncio.create_task(self._one(number))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _one(self, number: int) -> None:
        token = f"r{secrets.token_hex(8)}"
        writes = self.writes and number % 8 == 0
        path, at = f"/cgi-bin/rows?{token}" if writes else "/version", time.monotonic()
        try:
            async with asyncio.timeout(LIMIT_S):
                await (self._on_a_new(path) if number % 4 == 1 else self._on_a_kept(path))
        except _NO_ANSWER as error:
            self.failed.append(Failed(at, self.host, f"{path}: {error!r}"[:300], time.monotonic()))
        else:
            if writes:
                self.acknowledged.add(token)
        self.requests += 1

    async def reaches(self) -> bool:
        """Whether the load balancer has a way to the application, whatever comes of it."""
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._on_a_new("/version")
        except NotGood as answer:
            return answer.status != "404"
        except _NO_ANSWER:
            return False
        return True

    async def _on_a_new(self, path: str) -> bytes:
        connection = await self._connect()
        try:
            return await _ask(connection, self.host, path)
        finally:
            connection.writer.close()

    async def _on_a_kept(self, path: str) -> bytes:
        # One that lay idle for minutes was closed by the load balancer, and browsers know that, too.
        self._idle = [connection for connection in self._idle if not connection.reader.at_eof()]
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            body = await _ask(connection, self.host, path)
        except BaseException:
            connection.writer.close()
            raise
        self._idle.append(connection)
        return body

    async def _connect(self) -> Connection:
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self._context, server_hostname=self.host))


async def _ask(connection: Connection, host: str, path: str) -> bytes:
    """The body of a good answer, also of one in chunks: scripts do not know their length beforehand."""
    connection.writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: faults\r\n\r\n".encode())
    head = (await connection.reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    body = await (_chunks(connection.reader) if "chunked" in headers.get("transfer-encoding", "") else _whole(connection.reader, headers))
    if (status := head[0].split(" ", 2)[1]) != "200":
        raise NotGood(status, f"{head[0]}: {body[:200]!r}")
    return body


async def _whole(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    return await reader.readexactly(int(headers["content-length"]))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
