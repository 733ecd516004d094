"""Who waits for news. Nothing is queued for a reader: woken, it reads on in the archive at its own speed."""

import asyncio
from contextlib import suppress

POLL_S = 1.0
"""How long a reader waits for what another replica has stored."""


class Wakeups:
    """Wakes everybody who waits whenever something was stored."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Something was committed."""
        self._news.set()
        self._news = asyncio.Event()

    def ticket(self) -> asyncio.Event:
        """Take it before reading: it is set by whatever is stored after that."""
        return self._news


async def news(ticket: asyncio.Event, seconds: float = POLL_S) -> None:
    """Returns when something was stored after the ticket was taken, or after the given time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ticket.wait()
