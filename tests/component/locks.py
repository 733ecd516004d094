"""Who waits for locks of a test's database."""

from shared.postgres import Pool
from tests.polling import eventually

_WAIT = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def waited_for(pool: Pool, count: int = 1) -> None:
    """Until so many wait. A transaction sees them as they were at its first look: hence the pool."""

    async def waiting() -> bool:
        return bool(await pool.fetchval(_WAIT) == count)

    await eventually(waiting)
