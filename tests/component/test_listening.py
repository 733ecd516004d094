"""What is left of a server of a few lines when its block has ended: nothing, whatever its connections were at."""

import asyncio
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from shared.listening import Serve, listening
from tests.polling import eventually


async def _never(reader: StreamReader, writer: StreamWriter) -> None:
    await reader.readline()
    await asyncio.Event().wait()


async def _flood(reader: StreamReader, writer: StreamWriter) -> None:
    while True:
        writer.write(bytes(1024 * 1024))
        await writer.drain()


async def _more_than_is_read(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(bytes(64 * 1024 * 1024))


@pytest.mark.parametrize("serve", [_never, _flood, _more_than_is_read])
def test_the_loop_can_be_closed(serve: Serve) -> None:
    """Though clients are connected, and wait or do not read."""

    async def connected() -> None:
        async with listening(serve) as port:
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for reader, writer in clients:
            with suppress(ConnectionError):
                await reader.read()
            writer.transport.abort()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(connected())


async def test_what_was_written_arrives_when_serve_returns() -> None:
    """All of it, then the end."""
    async with listening(_more_than_is_read) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert len(await reader.read()) == 64 * 1024 * 1024
        writer.close()


async def test_a_serve_that_raises_cuts_its_own_connection_alone(tmp_path: Path) -> None:
    """Others go on."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while line := await reader.readline():
            if line == b"bad\n":
                raise BrokenPipeError
            writer.write(line)

    async with listening(serve, path=tmp_path / "socket"):
        (good, to_good), (bad, to_bad) = [await asyncio.open_unix_connection(tmp_path / "socket") for _ in range(2)]
        to_bad.write(b"bad\n")

        async def cut() -> bool:
            return bad.at_eof() or await bad.read() == b""

        await eventually(cut)
        to_good.write(b"good\n")
        assert await good.readline() == b"good\n"
        to_good.close()
        to_bad.close()
