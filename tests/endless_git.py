"""A git server that tells of refs without end (gitprotocol-http(5), smart server)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.listening import listening

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nConnection: close\r\n\r\n"
_SERVICE = b"001e# service=git-upload-pack\n0000"


def _line(number: int) -> bytes:
    line = b"%040x refs/heads/%050d\n" % (number + 1, number)
    return b"%04x%s" % (len(line) + 4, line)


@asynccontextmanager
async def endless_git() -> AsyncIterator[str]:
    """Where it is cloned from."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_HEAD + _SERVICE)
        lines = b"".join(map(_line, range(10_000)))
        while True:
            writer.write(lines)
            await writer.drain()

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}/endless.git"
