"""What a start says while it goes on: one line of JSON a step, over a pipe to whoever waits for it."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from select import PIPE_BUF
from typing import Literal

State = Literal["working", "done", "failed", "ready"]
WHOLE = "slipway"
"""The part that stands for all: `ready` when every health check is true, `failed` when the start was given up."""


@dataclass(frozen=True)
class Progress:
    """One part of the start has changed its state."""

    part: str
    state: State
    seconds: float
    """Since the start began."""
    detail: str = ""


_LONGEST = 2000
"""Characters of a detail; fewer where their line would be longer than what a pipe takes in one piece."""
Report = Callable[[Progress], None]


class Teller:
    """Reports into a pipe; when nobody reads any more, nothing is said and nothing fails. It never waits for who reads."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptors = () if descriptor is None else (descriptor,)
        """To be kept open in a child that reports, too."""
        for pipe in self.descriptors:
            os.set_blocking(pipe, False)
        self._began = time.monotonic()

    def say(self, part: str, state: State, detail: str = "") -> bool:
        """One line, written at once, so that several processes may report into one pipe. False where that is full: the line is dropped."""
        line = _line(Progress(part, state, time.monotonic() - self._began, detail[:_LONGEST]))
        for descriptor in self.descriptors:
            try:
                os.write(descriptor, line)
            except BlockingIOError:
                return False
            except OSError:
                self.descriptors = ()
        return True


def _line(progress: Progress) -> bytes:
    line = json.dumps(asdict(progress)).encode() + b"\n"
    if len(line) <= PIPE_BUF:
        return line
    return _line(replace(progress, detail=progress.detail[: len(progress.detail) * 3 // 4]))


def read_from(pipe: Iterable[bytes]) -> Iterator[Progress]:
    """What is reported, until the other end is closed."""
    for line in pipe:
        yield Progress(**json.loads(line))
