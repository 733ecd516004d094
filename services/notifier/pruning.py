"""Forgets what ended long ago, beside the sending: nothing waits for it, however much it is."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from services.notifier.store import old
from shared.postgres import UNAVAILABLE, Pool

log = structlog.get_logger()

KEEP = timedelta(days=30)
EVERY_S = 3600.0


async def prune(pool: Pool) -> None:
    """For ever. What fails waits for the next round."""
    while True:
        try:
            await old.forget(pool, KEEP)
        except (*UNAVAILABLE, asyncpg.PostgresError) as error:
            log.warning("what is old stays for now", reason=str(error) or type(error).__name__)
        await asyncio.sleep(EVERY_S)
