"""What of a run is under way, and when each deployment ends: a `git push` shows its pipeline, and ends only with it."""

import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from shared.postgres import UNAVAILABLE
from tests.faults.strikes import books
from tests.faults.strikes.books import FINAL
from tests.faults.strikes.checks import note_ends
from tests.faults.strikes.machine import Machine
from tests.faults.strikes.stream import Sent, Stream

_EVERY_S = 0.25


@dataclass
class Ends:
    """Looks at the books from the beginning of its block until the end of it, in a thread of its own."""

    machine: Machine
    streams: list[Stream] = field(default_factory=list)
    """All that the run began, one after the other."""
    _closed: threading.Event = field(default_factory=threading.Event)

    @property
    def sent(self) -> list[Sent]:
        """Everything that was sent so far."""
        return [one for stream in self.streams for one in stream.sent]

    @property
    def at_work(self) -> tuple[str, ...]:
        """What was sent and has not ended, and how far it is."""
        return tuple(f"{one.what}: {one.state or 'on its way'}" for one in self.sent if one.state not in FINAL | {"ignored"})

    @property
    def over(self) -> bool:
        """Nothing is at work, and nothing more comes."""
        return all(stream.is_sent for stream in self.streams) and not self.at_work

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True, name="ends")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._closed.wait(_EVERY_S):
            with suppress(*UNAVAILABLE, ValueError):  # without a database nothing ends; ValueError: its port is being written
                note_ends(books.read(self.machine), self.sent)
