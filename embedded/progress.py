"""What a start says while it goes on: one line of JSON a step, over a pipe to whoever waits for it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO, Literal

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
"""Characters of a detail: a line stays below the size that a pipe takes in one piece."""
Report = Callable[[Progress], None]


class Teller:
    """Reports into a pipe; when nobody reads any more, nothing is said and nothing fails."""

    def __init__(self, descriptor: int | None) -> None:
        self.descriptors = () if descriptor is None else (descriptor,)
        """To be kept open in a child that reports, too."""
        self._began = time.monotonic()

    def say(self, part: str, state: State, detail: str = "") -> None:
        """One line, written at once, so that several processes may report into one pipe."""
        line = json.dumps(asdict(Progress(part, state, time.monotonic() - self._began, detail[:_LONGEST])))
        for descriptor in self.descriptors:
            try:
                os.write(descriptor, line.encode() + b"\n")
            except OSError:
                self.descriptors = ()


def read_from(pipe: BinaryIO) -> Iterator[Progress]:
    """What is reported, until the other end is closed."""
    for line in pipe:
        yield Progress(**json.loads(line))
