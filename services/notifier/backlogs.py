"""Settles what waits for channels that were removed or changed, or whose receiver wants nothing more, beside all else."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from services.notifier.store import backlogs
from shared.postgres import UNAVAILABLE, Pool

log = structlog.get_logger()

POLL_S = 2.0


async def settle(pool: Pool, known: Callable[[], Awaitable[None]], wake_sender: Callable[[], None]) -> None:
    """For ever, once it is known which channels there are. What fails waits for the next round; no restart forgets it."""
    await known()
    while True:
        try:
            if await backlogs.hurry(pool):
                wake_sender()
            await backlogs.end(pool)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("what waits for channels that changed is not settled yet", reason=str(error) or type(error).__name__)
        await asyncio.sleep(POLL_S)
