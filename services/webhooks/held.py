"""What was read of deliveries before they were stored, held in memory until they are judged: nobody has to read them again."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.webhooks.domain import Arrival
from services.webhooks.recording import Recorded

MOST = 96 * 1024 * 1024
"""Bytes of the bodies that wait to be judged, read or not; what was read of them is mostly several times smaller."""


@dataclass
class Held:
    """What one delivery says. `became`: what it led to; None where nobody here knows."""

    arrival: Arrival | None
    """None where it is not read yet."""
    size: int
    became: "asyncio.Future[Recorded | None]"
    stored_at: float = math.inf
    """By the clock of the event loop."""

    def stored(self) -> None:
        """It is in the backlog."""
        self.stored_at = self.became.get_loop().time()


class Holdings:
    """By the deliveries' ids."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._room = MOST

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def holding(self, delivery: str, arrival: Arrival | None, size: int) -> Iterator[Held]:
        """Holds it from before it is stored, where there is room. What is not stored within the block is let go."""
        held = Held(arrival, size, asyncio.get_running_loop().create_future())
        if size <= self._room:
            self._held[delivery] = held
            self._room -= size
        else:
            held.became.set_result(None)
        try:
            yield held
        finally:
            if held.stored_at == math.inf:
                self.let_go(delivery, None)

    def get(self, delivery: str) -> Arrival | None:
        """What it says, where that was read here."""
        held = self._held.get(delivery)
        return held.arrival if held else None

    def let_go(self, delivery: str, became: Recorded | None) -> None:
        """It is judged; whoever waits for that is told."""
        held = self._held.pop(delivery, None)
        if held is not None:
            self._room += held.size
            if not held.became.done():
                held.became.set_result(became)

    def let_go_of_all_before(self, moment: float) -> None:
        """Of all that were stored before that: another replica has judged them."""
        for delivery in [delivery for delivery, held in self._held.items() if held.stored_at < moment]:
            self.let_go(delivery, None)
