"""Servers of a few lines: asyncio's, whose connections end with it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""One connection, which is closed when this returns or raises."""


@asynccontextmanager
async def listening(serve: Serve, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listens on the socket `path`, or on a free port of 127.0.0.1, and yields that port (0 for a path).

    When the block ends, whoever is still connected is cut off and its `serve` cancelled: asyncio's own server would leave both to
    the loop, which cannot be closed as long as a connection is open.
    """
    at_work: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_one(serve, reader, writer))
        at_work[task] = writer
        task.add_done_callback(at_work.pop)

    if path is None:
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=tls)
    else:
        server = await asyncio.start_unix_server(take, path, ssl=tls)
    try:
        yield 0 if path else int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task, writer in at_work.items():
            task.cancel()
            writer.transport.abort()  # here: a task that had not begun does nothing any more
        ends = [writer.wait_closed() for writer in at_work.values()]
        await asyncio.gather(*at_work, *ends, return_exceptions=True)


async def _one(serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        try:
            await serve(reader, writer)
            writer.close()
            await writer.wait_closed()
        finally:
            writer.transport.abort()
