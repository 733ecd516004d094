"""Programs as child processes, started by `vfork`: about a millisecond, whatever the size of this process.

uvloop starts them by `fork`, which copies the page tables of a service and runs gRPC's handlers: 10 to 40 ms each, and a
push needs a dozen. What `spawn` answers is used like `asyncio.subprocess.Process`, on either event loop.
"""

import asyncio
import os
import subprocess
import threading
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import IO

import uvloop

_LIMIT = 2**16
MOST_SAID = 2**16
"""Of what a program says on its error output `communicate` keeps the last so many bytes: it may be a server's words, without end."""


def memory_limit(most: int) -> int:
    """Bytes of memory for one program: so many, but no more than half of what the machine has. For `spawn`'s `limits`, as `data`."""
    return min(most, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


class _Pipe(StreamReaderProtocol):
    def eof_received(self) -> bool:
        """The transport closes itself: unlike a socket, nothing can be written to it afterwards."""
        super().eof_received()
        return False


class Program:
    """A running or ended program. Its output is read to the end, or `close` is called, before it is forgotten."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._ended = asyncio.get_running_loop().create_future()
        self._transports: list[asyncio.BaseTransport] = []
        self.stdin: StreamWriter | None = None
        self.stdout: StreamReader | None = None
        self.stderr: StreamReader | None = None
        threading.Thread(target=self._reap, args=(asyncio.get_running_loop(),), name=f"reap-{process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Waits for its end; the exit code."""
        return int(await asyncio.shield(self._ended))

    async def communicate(self, *given: bytes) -> tuple[bytes, bytes]:
        """Gives it its input, part by part, reads all output (of its error output the last `MOST_SAID` bytes), waits for its end."""
        out, err, _ = await asyncio.gather(_all_of(self.stdout), _end_of(self.stderr), self._feed(given))
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Sends a signal, unless it has ended."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()

    def close(self) -> None:
        """Closes the pipes; what was not read is lost."""
        for transport in self._transports:
            transport.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()  # has no effect on one that a transport has

    async def connect(self, limit: int) -> None:
        """Makes streams of the pipes."""
        self.stdout = await self._reading(self._process.stdout, limit)
        self.stderr = await self._reading(self._process.stderr, limit)
        if self._process.stdin is not None:
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.connect_write_pipe(lambda: _Pipe(StreamReader()), _handed_over(self._process.stdin, loop))
            self._transports.append(transport)
            self.stdin = StreamWriter(transport, protocol, None, loop)

    async def _reading(self, pipe: IO[bytes] | None, limit: int) -> StreamReader | None:
        if pipe is None:
            return None
        reader, loop = StreamReader(limit), asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Pipe(reader), _handed_over(pipe, loop))
        self._transports.append(transport)
        return reader

    async def _feed(self, given: Sequence[bytes]) -> None:
        if self.stdin is None:
            return
        with suppress(BrokenPipeError, ConnectionResetError):  # it has read enough
            for part in given:
                if self.stdin.is_closing():
                    break
                self.stdin.write(part)
                await self.stdin.drain()
        self.stdin.close()

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)


async def spawn(
    *arguments: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    start_new_session: bool = False,
    limit: int = _LIMIT,
    limits: Mapping[str, int] | None = None,
) -> Program:
    """Starts a program with exactly this environment; `limit` is that of its streams' buffers, in bytes. Raises `OSError`.

    `limits` are those of the program and of what it starts, by the names of prlimit(1), which sets them: set from here, they
    would come after what a program starts at once.
    """
    if limits:
        arguments = ("/usr/bin/prlimit", *(f"--{name}={most}" for name, most in limits.items()), "--", *arguments)
    process = subprocess.Popen(  # noqa: ASYNC220 -- blocks until the program runs, which is sooner than others' ways
        arguments, env=dict(env), cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, start_new_session=start_new_session
    )
    program = Program(process)
    try:
        await program.connect(limit)
    except BaseException:
        program.kill()
        program.close()
        raise
    return program


async def _all_of(stream: StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()


async def _end_of(stream: StreamReader | None) -> bytes:
    read = bytearray()
    while stream is not None and (part := await stream.read(MOST_SAID)):
        read += part
        del read[:-MOST_SAID]
    return bytes(read)


def _handed_over(pipe: IO[bytes], loop: asyncio.AbstractEventLoop) -> IO[bytes]:
    """The same pipe, for a transport to close, once.

    uvloop closes the descriptor itself, and the file a moment later, or when it is collected, where the transport had closed
    before it was made. The number may be another's by then: a connection broke, and what read from it waited for ever.
    """
    with pipe:
        return open(os.dup(pipe.fileno()), pipe.mode, buffering=0, closefd=not isinstance(loop, uvloop.Loop))
