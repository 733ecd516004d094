"""Applications that answer a check as none should, and the checks of a deployer beside them, without an engine."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from services.deployer.targets.local.checks import Checks, Front
from services.deployer.targets.local.container_state import Attachment, Container
from services.deployer.targets.local.engine import Engine
from services.deployer.targets.local.load_balancer import LoadBalancer
from services.deployer.targets.local.records import Records
from services.deployer.targets.local.secrets import TargetKey
from services.deployer.targets.local.workloads import Workloads
from shared.contracts.places import Place
from shared.contracts.releases import Release
from shared.listening import listening

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

RUNNING = Container(
    id="1",
    name="web",
    labels={},
    status="running",
    exit_code=0,
    out_of_memory=False,
    error="",
    pid=0,
    started_at="2026-01-01T00:00:00Z",
    image="i",
    user="",
    command=(),
    environment=(),
    stop_signal="SIGTERM",
    memory_bytes=0,
    nano_cpus=0,
    restart_policy="no",
    read_only=True,
    networks={"n": Attachment("127.0.0.1", ())},
    volumes=(),
)


async def good(writer: asyncio.StreamWriter) -> None:
    """As it should be."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def without_end(writer: asyncio.StreamWriter) -> None:
    """A body that goes on."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def slowly(writer: asyncio.StreamWriter) -> None:
    """A body that comes a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    await _drip(writer, b"x")


async def falsely_packed(writer: asyncio.StreamWriter) -> None:
    """A body that says that it is packed, and is not."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()


async def noise(writer: asyncio.StreamWriter) -> None:
    """A line that is no status."""
    writer.write(b"\xff" * 50_000 + b"\r\n\r\n")
    await writer.drain()


async def headers_slowly(writer: asyncio.StreamWriter) -> None:
    """Headers that come a byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await _drip(writer, b"x")


async def early_hints(writer: asyncio.StreamWriter) -> None:
    """Words before the answer (RFC 8297), and never the answer."""
    await _drip(writer, b"HTTP/1.1 103 Early Hints\r\n\r\n")


async def _drip(writer: asyncio.StreamWriter, part: bytes) -> None:
    while True:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.02)


class Application:
    """What it was asked last."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked = b""
        self._connections = 0

    async def is_left(self) -> bool:
        """Whether nobody is connected any more."""
        return self._connections == 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._connections += 1
        try:
            self.asked = await reader.readuntil(b"\r\n\r\n")
            await self._answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._connections -= 1


@asynccontextmanager
async def serving(answer: Answer, certificate: tuple[Path, Path] | None = None) -> AsyncIterator[tuple[Application, int]]:
    """An application, and its port on this machine."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    application = Application(answer)
    async with listening(application.serve, tls=context) as port:
        yield application, port


class _Engine:
    async def inspect(self, _name: str) -> Container:
        return RUNNING

    async def tail(self, _name: str) -> tuple[str, ...]:
        return ()


class _Workloads:
    def container(self, _place: Place, release: Release) -> str:
        return release.service


def checks() -> Checks:
    """The checks of a target with one container, which runs, on this machine's own address."""
    nothing = object()
    return Checks(
        cast("Engine", _Engine()),
        cast("Records", nothing),
        cast("Workloads", _Workloads()),
        cast("LoadBalancer", nothing),
        cast("Front", nothing),
        cast("TargetKey", nothing),
    )
