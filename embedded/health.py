"""Asks a process whether it is ready, and whether it lives."""

import asyncio

_LIMIT = 1.0
"""Seconds. The supervisor waits for the answer, so one that hangs counts as not ready."""


async def is_ready(port: int) -> bool:
    """Whether it answers `/readyz` on 127.0.0.1 with 200."""
    return await _status(port, "/readyz") == b"200"


async def lives(port: int) -> bool:
    """Whether it answers `/healthz` on 127.0.0.1 at all: its event loop runs."""
    return await _status(port, "/healthz") != b""


async def _status(port: int, path: str) -> bytes:
    try:
        async with asyncio.timeout(_LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                return b"".join((await reader.readline()).split()[1:2])
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
