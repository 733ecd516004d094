"""When the deployments of a run end, seen while everything else goes on: a `git push` shows its pipeline, and ends only with it."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from shared.postgres import UNAVAILABLE
from tests.faults.strikes import books
from tests.faults.strikes.checks import note_ends
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Stream

_EVERY_S = 0.25


@dataclass
class Ends:
    """Looks at the books from the beginning of its block until the end of it, in a thread of its own."""

    machine: Machine
    stream: Stream
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True, name="ends")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            with suppress(*UNAVAILABLE, ValueError):  # without a database nothing ends; ValueError: its port is being written
                note_ends(books.read(self.machine), list(self.stream.sent))
