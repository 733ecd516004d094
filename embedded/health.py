"""Asks a process for its readiness."""

import asyncio

_LIMIT = 1.0
"""Seconds. The supervisor waits for the answer, so one that hangs counts as not ready."""


async def is_ready(port: int) -> bool:
    """Whether it answers `/readyz` on 127.0.0.1 with 200."""
    try:
        async with asyncio.timeout(_LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
