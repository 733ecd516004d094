"""A way out for programs that connect by themselves, such as git: a SOCKS 5 proxy (RFC 1928) on loopback that resolves and checks.

The program gives it names, and it connects to addresses that a `Reach` allows: neither a redirect, nor a name that
changes its address between check and call, leads anywhere else.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from ipaddress import ip_address

from shared.listening import listening
from shared.outbound import Reach, Refused, Unresolved

CONNECT_S = 15.0
_CHUNK = 64 * 1024


class _Reply(IntEnum):
    """RFC 1928, 6."""

    SUCCEEDED = 0
    FAILED = 1
    NOT_ALLOWED = 2
    HOST_UNREACHABLE = 4
    COMMAND_NOT_SUPPORTED = 7


@dataclass
class Gate:
    """An open gate, and what came of those who went through."""

    reach: Reach
    port: int = 0
    refused: list[str] = field(default_factory=list)
    """Why, in words for the user."""
    failed: list[str] = field(default_factory=list)
    """What could not be reached, and why."""

    @property
    def proxy(self) -> str:
        """As git's `http.proxy` wants it: names are resolved by the gate."""
        return f"socks5h://127.0.0.1:{self.port}"

    async def connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first address that may be called and answers. Raises `Refused`, `Unresolved` or `OSError`."""
        failure: OSError = OSError(f"{host} does not answer")
        for address in await self.reach.addresses_of(host, port):
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection(address, port)
            except OSError as error:
                failure = error
        raise failure


@asynccontextmanager
async def outbound_gate(reach: Reach) -> AsyncIterator[Gate]:
    """Opens a gate; its connections end with the block."""
    gate = Gate(reach)
    async with listening(partial(_serve, gate)) as gate.port:
        yield gate


async def _serve(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncio.IncompleteReadError, ValueError):
        host, port = await _asked(reader, writer)
        try:
            there = await gate.connect(host, port)
        except Refused as refused:
            gate.refused.append(str(refused))
            _answer(writer, _Reply.NOT_ALLOWED)
        except (Unresolved, OSError) as error:
            gate.failed.append(f"{host} is unreachable: {error}")
            _answer(writer, _Reply.HOST_UNREACHABLE)
        else:
            _answer(writer, _Reply.SUCCEEDED)
            await _between((reader, writer), there)


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """Host and port that the client wants; raises `ValueError` for what is no CONNECT of version 5."""
    version, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    if version != 5:
        raise ValueError(version)
    writer.write(b"\x05\x00")
    _, command, _, kind = await reader.readexactly(4)
    length = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
    raw = await reader.readexactly(length)
    port = int.from_bytes(await reader.readexactly(2))
    if command != 1:
        _answer(writer, _Reply.COMMAND_NOT_SUPPORTED)
        raise ValueError(command)
    return (raw.decode("ascii") if kind == 3 else str(ip_address(raw))), port


def _answer(writer: asyncio.StreamWriter, reply: _Reply) -> None:
    writer.write(bytes((5, reply, 0, 1)) + bytes(6))


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _between(one: Ends, other: Ends) -> None:
    """Passes bytes on both ways until both have ended."""
    try:
        await asyncio.gather(_pass_on(one[0], other[1]), _pass_on(other[0], one[1]))
    finally:
        other[1].close()
        with suppress(OSError):
            await other[1].wait_closed()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
