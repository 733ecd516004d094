"""The network between one service and the bus: a TCP proxy whose way can be cut, slowed, or stopped in one direction."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

CHUNK = 16 * 1024
SLOW_S = 0.25
"""Each chunk waits so long."""


class Way(StrEnum):
    """How the network is."""

    GOOD = "good"
    CUT = "cut"
    """Connections break, and new ones are refused."""
    SILENT = "silent"
    """Nothing arrives, in neither direction, and nobody is told."""
    DEAF = "deaf"
    """What the service sends arrives; what it is sent does not."""
    MUTE = "mute"
    """The service is sent everything; what it sends does not arrive."""
    SLOW = "slow"


@dataclass
class Proxy:
    """Listens on a port of its own and forwards to another, both on 127.0.0.1."""

    to_port: int
    port: int = 0
    way: Way = Way.GOOD
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Listens from now on."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(server.sockets[0].getsockname()[1])

    async def become(self, way: Way) -> None:
        """The network is so from now on."""
        self.way = way
        self._changed.set()
        self._changed = asyncio.Event()
        if way is Way.CUT:
            for writer in self._open:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.way is Way.CUT:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        ways = (self._forward(reader, back, Way.MUTE), self._forward(there, writer, Way.DEAF))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, back):
            self._open.discard(end)
            end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stopped_by: Way) -> None:
        """Bytes in order; while the way is stopped they wait, as in a network that comes back."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                while self.way in {stopped_by, Way.SILENT}:
                    await self._changed.wait()
                if self.way is Way.SLOW:
                    await asyncio.sleep(SLOW_S)
                writer.write(chunk)
                await writer.drain()
