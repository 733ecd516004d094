"""Connections take turns at being looked at: each within a period, spread over time, and not before a pause is over that its forge asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from random import uniform

import structlog

from services.webhooks.catalogue import Away, Connection
from services.webhooks.connections import Connections
from services.webhooks.store import Store
from shared.contracts.changes import Change
from shared.postgres import UNAVAILABLE

log = structlog.get_logger()

_AT_ONCE = 8
"""Connections that one process looks at side by side."""
_POLL_S = 2.0

Sweep = Callable[[Connection], Awaitable[list[Change]]]


LONGEST = timedelta(minutes=15)
"""Between two looks at a forge that does not answer as it should."""


class Paused(Exception):
    """The forge is not asked again before `wait` is over: it says so, or does not answer as it should."""

    def __init__(self, wait: timedelta, reason: str) -> None:
        super().__init__(reason)
        self.wait = wait


class Setbacks:
    """Connections whose forge does not answer as it should: each time they wait for longer, until it does."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._failed: dict[str, int] = {}

    def another(self, connection: str) -> timedelta:
        """How long it waits now."""
        failed = self._failed[connection] = self._failed.get(connection, 0) + 1
        return min(timedelta(seconds=self._every_s * 2 ** min(failed, 10)), LONGEST)

    def over(self, connection: str) -> None:
        """It answered."""
        self._failed.pop(connection, None)


@dataclass(frozen=True)
class Turns:
    """Whose turn it is, by two statements: `due` takes the next connection and puts it off by so many seconds, `later` one by a time.

    Each waits for three quarters of `every_s` at most, by chance, so that they spread over time, and what a look takes fits in.
    """

    due: str
    later: str
    every_s: float


async def by_turns(store: Store, connections: Connections, turns: Turns, setbacks: Setbacks, sweep: Sweep) -> None:
    """Looks at connections, a few side by side, for ever; sleeps while none is due. Replicas share the work.

    Whatever a look raises ends no other: its connection waits as after any setback.
    """
    free = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as looks:
        while True:
            await free.acquire()
            connection = await _next(store, connections, turns)
            if connection is not None:
                looks.create_task(_look(store, turns, setbacks, sweep, connection)).add_done_callback(lambda _: free.release())
            else:
                free.release()
                await asyncio.sleep(min(_POLL_S, turns.every_s / 20))


async def _next(store: Store, connections: Connections, turns: Turns) -> Connection | None:
    try:
        name = await store.pool.fetchval(turns.due, turns.every_s * uniform(0.55, 0.75))  # noqa: S311 -- spread, not secrecy
        return await connections.find(name) if name else None
    except (Away, *UNAVAILABLE) as error:
        log.warning("sweep postponed", reason=str(error) or type(error).__name__)
        return None


async def _look(store: Store, turns: Turns, setbacks: Setbacks, sweep: Sweep, connection: Connection) -> None:
    try:
        try:
            await sweep(connection)
        except Paused as paused:
            seconds = round(paused.wait.total_seconds())
            log.warning("connection not swept", connection=connection.name, reason=str(paused), again_after_s=seconds)
            await store.pool.execute(turns.later, connection.name, paused.wait)
        except UNAVAILABLE:
            raise
        except Exception:  # its forge's answers are a stranger's: what they bring about ends no other's looks
            wait = setbacks.another(connection.name)
            log.exception("connection not swept", connection=connection.name, again_after_s=round(wait.total_seconds()))
            await store.pool.execute(turns.later, connection.name, wait)
    except UNAVAILABLE as error:
        log.warning("sweep postponed", reason=str(error) or type(error).__name__)
