"""What a command's handler works with: its log, redaction, word of a cancel, and the ways to fail."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from itertools import accumulate, islice
from typing import Protocol, TypeVar

from shared import bus as bus_module
from shared.bus import Bus
from shared.contracts.answers import Failure
from shared.contracts.commands import Command
from shared.contracts.facts import Fact
from shared.contracts.logs import LogLines
from shared.redaction import Redactor

FLUSH_S = 0.15
"""How long lines are collected for one message."""
LOG_BYTES = 8 * 2**20
LOG_LINES = 100_000
"""Of one attempt at a step. All of it may wait in memory while the bus is slow or away, and every tenant's lines share one stream."""
LINES_AT_ONCE = 200
_BYTES_AT_ONCE = 800_000
"""Of lines in one message, each character counted as JSON may have to write it; the bus takes 1 MiB."""


class StepFailure(Exception):
    """An expected failure of a step; becomes the answer `failed`."""

    def __init__(self, code: str, message: str, *, details: str = "", log_tail: tuple[str, ...] = (), may_pass: bool = False) -> None:
        super().__init__(message)
        self.failure = Failure(code=code, message=message, details=details, log_tail=log_tail, may_pass=may_pass)


class LowerEpoch(Exception):
    """The target has seen a higher epoch, `seen`; becomes the answer `refused`. Nothing was touched."""

    def __init__(self, message: str, seen: int) -> None:
        super().__init__(message)
        self.seen = seen


class GivenBack(Exception):
    """The process is told to stop: the command is not answered, and another worker takes it."""


class Unavailable(Exception):
    """What the step needs is away for now (the engine, the registry); it is tried again until the step's time is over."""


class Work:
    """What a handler has besides its command: the log, redaction, and word of a cancel."""

    def __init__(self, command: Command, bus: Bus, target: str) -> None:
        self.command = command
        self.cancelled = asyncio.Event()
        self.redactor = Redactor()
        self.waits_for = ""
        """What is away that the step cannot go on without."""
        self._bus = bus
        self._subject = f"slipway.log.{target}.{command.deployment}.{command.step}"
        self._lines: deque[str] = deque()
        self._next = 1
        self._bytes_left = LOG_BYTES
        self._lines_left = LOG_LINES
        self._flusher: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def redact(self, values: Mapping[str, str]) -> None:
        """Registers secret values: no line and no answer shows them from here on."""
        self.redactor.add(values.values())

    def log(self, line: str) -> None:
        """Streams one line to whoever follows the deployment. Past the limit of a log it is left out, which a last line has said."""
        if not self._has_room:
            return
        shown = self.redactor(line.rstrip("\r\n"))[:8000].encode(errors="replace").decode()  # a file's name may be no UTF-8
        self._lines.append(shown)
        self._lines_left -= 1
        self._bytes_left -= len(shown.encode()) + 1
        if not self._has_room:
            self._lines.append(
                f"(this log has reached {LOG_BYTES // 2**20} MiB or {LOG_LINES:,} lines; the step goes on, the rest is left out)"
            )
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush_soon())

    @property
    def _has_room(self) -> bool:
        return self._bytes_left > 0 and self._lines_left > 0

    async def flush(self) -> None:
        """Sends what is left, at once: the step's answer waits for it."""
        self._ending.set()
        if self._flusher is not None:
            await self._flusher

    async def _flush_soon(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._ending.wait()
        while self._lines:
            lines = tuple(self._lines.popleft() for _ in range(_fitting(islice(self._lines, LINES_AT_ONCE))))
            message = LogLines(
                deployment=self.command.deployment,
                step=self.command.step,
                direction=self.command.direction,
                attempt=self.command.attempt,
                first=self._next,
                lines=lines,
            )
            self._next += len(lines)
            with suppress(*bus_module.UNAVAILABLE):  # a line is worth less than the step
                await self._bus.publish(self._subject, message)


def _fitting(lines: Iterable[str]) -> int:
    """How many of the lines one message holds; at least one."""
    sizes = accumulate(6 * len(line) + 3 for line in lines)
    return max(1, sum(size <= _BYTES_AT_ONCE for size in sizes))


C_contra = TypeVar("C_contra", bound=Command, contravariant=True)


class Handler(Protocol[C_contra]):
    """Makes one command so, idempotently by step key. Raises `StepFailure`, `LowerEpoch` or `Unavailable`."""

    async def __call__(self, command: C_contra, work: Work, /) -> Fact:
        """What is true afterwards."""
        ...


AnyHandler = Callable[..., Awaitable[Fact]]
"""A handler of some class of command; the table that holds it says which."""
